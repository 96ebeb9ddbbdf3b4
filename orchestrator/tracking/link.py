"""The engine's end of the line to its writer process; handing over never waits unless told how long it may."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.tracking.messages import Message, frame, parse, read_frame

OUTBOX_BYTES = 4 << 20  # what may wait here for a writer that does not read


class Link:
    """A writer process of one's own, and the socket to it.

    The process has a session of its own: Ctrl-C reaches the engine only, and the writer ends when this socket does.
    """

    def __init__(self, log: Path) -> None:
        """Raises OSError: no process could be started, or its log not be written."""
        self._socket, theirs = socket.socketpair()
        self._outbox = bytearray()
        self._broken = False
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.tracking.writer", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def offer(self, message: Message, wait_s: float = 0.0) -> bool:
        """Hands the message over, or into a bounded outbox; False: there is no room within wait_s, or no writer."""
        data = frame(message)
        if len(self._outbox) + len(data) > OUTBOX_BYTES:
            self._send(wait_s)
        if self._broken or (self._outbox and len(self._outbox) + len(data) > OUTBOX_BYTES):
            return False
        self._outbox += data
        self._send(0.0)
        return not self._broken

    def converse(self, message: Message, timeout_s: float) -> Message | None:
        """Sends the last message and waits for the answer; None: it did not come in time. Ends the process."""
        deadline_s = time.monotonic() + timeout_s
        answer = b""
        try:
            self._outbox += frame(message)
            self._send(timeout_s)
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(max(0.01, deadline_s - time.monotonic()))
            with self._socket.makefile("rb") as stream:
                answer = read_frame(stream)
        except OSError:
            pass  # it did not answer, or is not there any more
        finally:
            self._end(max(0.0, deadline_s - time.monotonic()) if answer else 0.0)
        return parse(answer) if answer else None

    def _end(self, patience_s: float) -> None:
        """Ends the writer, by force after so many seconds."""
        self._broken = True
        self._socket.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, wait_s: float) -> None:
        """As much of the outbox as goes in this time; a timeout of 0 makes the socket non-blocking."""
        deadline_s = time.monotonic() + wait_s
        try:
            while self._outbox and not self._broken:
                self._socket.settimeout(max(0.0, deadline_s - time.monotonic()))
                sent = self._socket.send(self._outbox)
                del self._outbox[:sent]
        except (BlockingIOError, TimeoutError):
            pass
        except OSError:
            self._broken = True
