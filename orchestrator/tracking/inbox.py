"""The writer's end of the line: a thread that takes in what the engine says, so that the engine need not wait."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO

from orchestrator.tracking.messages import Goodbye, Message, parse, read_frame, unframed

TAKE_BYTES = 256 << 10  # taken at once: enough for one request, after an outage too
CAPACITY_BYTES = 64 << 20  # about 300,000 closed rounds; beyond that the engine leaves things out
LINGER_S = 10.0  # how long to go on for an engine that died without a goodbye
OVERDUE_S = 15.0  # more than any one request to MLflow may take


class Inbox:
    """Messages in order of arrival, kept as bytes until they are taken. The deadline is set when the line has ended."""

    def __init__(self, stream: BinaryIO) -> None:
        self._frames: deque[bytes] = deque()
        self._size_bytes = 0
        self._deadline_s: float | None = None
        self._overdue_s = float("inf")
        self._changed = threading.Condition()
        threading.Thread(target=self._take_in, args=(stream,), daemon=True).start()

    def take(self) -> Sequence[Message]:
        """The next messages, at least one; none when the line has ended. Blocks."""
        frames: list[bytes] = []
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._deadline_s is not None)
            while self._frames and sum(map(len, frames)) < TAKE_BYTES:
                frames.append(self._frames.popleft())
            self._size_bytes -= sum(map(len, frames))
            self._changed.notify_all()
        return [parse(frame) for frame in frames]

    def put(self, message: Message) -> None:
        """A message of this process's own; left out if there is no room, or the line has ended."""
        body = unframed(message)
        with self._changed:
            if self._deadline_s is None and self._size_bytes < CAPACITY_BYTES:
                self._frames.append(body)
                self._size_bytes += len(body)
                self._changed.notify_all()

    def ends_within(self, seconds: float) -> bool:
        """Waits so long at most; whether the line has ended by then."""
        with self._changed:
            return self._changed.wait_for(lambda: self._deadline_s is not None, seconds)

    def pause(self, seconds: float) -> bool:
        """Waits so long, or a little while if the line has ended; False: the deadline has passed, give up."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._deadline_s is not None, seconds):
                return True
            assert self._deadline_s is not None
            left_s = self._deadline_s - time.monotonic()
        time.sleep(max(0.0, min(0.5, left_s)))
        return left_s > 0

    def wait_until_overdue(self) -> None:
        """Blocks until nobody can be waiting for this process any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._deadline_s is not None)
        time.sleep(max(0.0, self._overdue_s - time.monotonic()))

    def _take_in(self, stream: BinaryIO) -> None:
        last = b""
        while frame := read_frame(stream):
            last = frame
            with self._changed:
                self._changed.wait_for(lambda: self._size_bytes < CAPACITY_BYTES)
                self._frames.append(frame)
                self._size_bytes += len(frame)
                self._changed.notify_all()
        goodbye = parse(last) if last else None
        left_s = goodbye.timeout_s if isinstance(goodbye, Goodbye) else LINGER_S
        with self._changed:
            self._deadline_s = time.monotonic() + 0.8 * left_s  # so that the answer is in time
            self._overdue_s = time.monotonic() + left_s + OVERDUE_S
            self._changed.notify_all()
