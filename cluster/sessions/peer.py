"""A worker as the engine sees it: what it was given, which values it has, and the stream it is reached by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from cluster.sessions.allowance import Allowance
from cluster.sessions.chunks import Damaged, Joiner
from cluster.sessions.ledger import Key, key_of
from cluster.shared_memory import OtherBytes, SharedFolder, SharedMemoryFull, can_name
from protos import ripieno_pb2 as pb

OUTBOX = 4096
"""Messages that may wait for a worker; one that lets more pile up does not read, and is let go."""

SENSELESS = 1000
"""Messages without sense that are passed over on one stream; who says more is let go."""

DAMAGED = 64
"""Of so many values it is remembered why they did not arrive."""

RESULT_BYTES = 1 << 18
"""A site's result may be so large, figures and traceback together: it is journalled whole."""


class Stream:
    """One connection of a peer. Belongs to the server's thread.

    outbox: messages, and names of values to be sent as chunks; None ends the stream. received: results, so far.
    stopped: whether the worker's process is seen not to run. looks: how often in a row. write_now: sends a message if
    that can be done at once, and says whether it did; never over gRPC, the only carrier of chunks, which it could pass.
    """

    def __init__(
        self, epoch: int, now_s: float, stopped: Callable[[], bool], write_now: Callable[[pb.ToWorker], bool]
    ) -> None:
        self.epoch, self.heard_s, self.stopped, self.looks = epoch, now_s, stopped, 0
        self._write_now = write_now
        self.received = self.senseless = 0
        self.outbox: asyncio.Queue[pb.ToWorker | str | None] = asyncio.Queue()
        self.joiner = Joiner()
        self.broken = asyncio.Event()
        self.reason = "its stream broke"

    def put(self, item: pb.ToWorker | str) -> None:
        """Sends it after all before it; without the way through the outbox, which costs 40 µs, where that is empty."""
        if self.outbox.empty() and not isinstance(item, str) and self._write_now(self.stamped(item)):
            return
        if self.outbox.qsize() >= OUTBOX:
            self.end(f"it left {OUTBOX} messages unread")
        else:
            self.outbox.put_nowait(item)

    def stamped(self, message: pb.ToWorker) -> pb.ToWorker:
        message.epoch, message.acknowledged = self.epoch, self.received
        return message

    def pass_over(self) -> None:
        """Counts a message without sense, which a slow network explains now and then."""
        self.senseless += 1
        if self.senseless > SENSELESS:
            self.end(f"it sent more than {SENSELESS} messages that make no sense")

    def end(self, reason: str) -> None:
        """At once, whatever is still to be sent."""
        self.reason = reason
        self.broken.set()


class Access(NamedTuple):
    """How a worker is reached, and what it is trusted with.

    shares: it reads and writes the engine's shared folder. local: it came through the unix socket, which breaks only
    with its process. site: nobody here launched it, so it is held to what it was given.
    """

    shares: bool
    local: bool
    site: bool


class Peer:
    """One process of a worker, through all its streams.

    `assign` and `cancel` may be called from any thread and return at once; the server does the rest.
    shares, local, site: see Access.
    """

    def __init__(self, hello: pb.Hello, folder: SharedFolder, loop: asyncio.AbstractEventLoop, access: Access) -> None:
        self.worker, self.role, self.slots, self.labels = hello.worker, hello.role, hello.slots, dict(hello.labels)
        self.process = hello.process
        self.shares, self.local, self.site = access
        self.stream: Stream | None = None
        self.grace: asyncio.TimerHandle | None = None  # ends the wait for its next stream
        self.leaving = ""  # why it will not be back
        self._folder, self._loop = folder, loop
        self._given: dict[Key, pb.Assignment] = {}
        self._allowance = Allowance(limited=self.site)
        self._has: set[str] = set()  # values in its own folder, if it does not share ours
        self._damage: dict[str, str] = {}  # values that did not arrive as they were sent: why

    def assign(self, items: Sequence[pb.Assignment]) -> None:
        """Gives work, with the inputs that the worker lacks before it. To a peer that is gone: nothing happens."""
        self._loop.call_soon_threadsafe(self._assign, items)

    def cancel(self, attempts: Iterable[Key]) -> None:
        """Asks the worker to leave work undone; the answer may still be a finished result."""
        message = pb.ToWorker(cancel=pb.Cancel(attempts=[pb.Attempt(work_id=w, attempt=a) for w, a in attempts]))
        self._loop.call_soon_threadsafe(self._put, message)

    def give_up(self, attempt: Key) -> None:
        """Cancels an attempt whose answer, and the values with it, will not be taken any more."""
        self.cancel([attempt])
        self._loop.call_soon_threadsafe(self._give_up, attempt)

    def open(self, stream: Stream, hello: pb.Hello, welcome: pb.Welcome) -> None:
        """The server's: speaks through this stream from now on, and gives again what got lost between two."""
        if self.stream is not None:
            self.stream.end("the worker opened another one")
        if self.grace is not None:
            self.grace.cancel()
        self.stream = stream
        self._has = set(filter(can_name, hello.values)) if welcome.resumed else set()
        self._put(pb.ToWorker(welcome=welcome))
        held = {key_of(attempt) for attempt in hello.held}
        self._send([item for key, item in self._given.items() if key not in held])

    def leave(self, reason: str, replaced: bool = False) -> None:
        """The server's: says goodbye; nothing that comes from this process counts any more."""
        self.leaving = self.leaving or reason
        self._put(pb.ToWorker(goodbye=pb.Goodbye(reason=reason, replaced=replaced)))
        if self.stream is not None:
            self.stream.reason = reason
            self.stream.outbox.put_nowait(None)

    def answered(self, result: pb.Result) -> str | None:
        """The server's: notes a result. None: a repeat, or an answer to nothing; else what is wrong with its values."""
        if self.stream is not None:
            self.stream.received += 1
        if self._given.pop(key_of(result.attempt), None) is None:
            if self.stream is not None:
                self.stream.pass_over()
            return None
        if self.shares:
            return ""
        return self._settled(result)

    async def take(self, stream: Stream, chunk: pb.Chunk) -> None:
        """The server's: keeps a value that came in chunks, or why it cannot be kept, for the result that names it."""
        if chunk.offset == 0 and not self._allowance.owed(chunk.name):  # of an answer that was counted, as a rule
            stream.pass_over()
        try:
            if chunk.offset == 0:
                self._require_welcome(chunk)
            whole = stream.joiner.add(chunk)
            if whole is not None:
                name, data = whole
                await asyncio.to_thread(self._folder.write, name, [data])
                self._has.add(name)
        except (Damaged, OtherBytes, SharedMemoryFull, OSError) as error:
            if self._allowance.owed(chunk.name) and len(self._damage) < DAMAGED:
                self._damage.setdefault(chunk.name, str(error))

    def _require_welcome(self, chunk: pb.Chunk) -> None:
        """Raises Damaged, SharedMemoryFull: this value is not wanted here, or there is no room for it."""
        if reason := self._allowance.objection(chunk.name, chunk.size_bytes):
            raise Damaged(chunk.name, reason)
        self._folder.require_room(chunk.size_bytes)

    def _settled(self, result: pb.Result) -> str:
        """What is wrong with the values of a result; what was sent and is no part of a good one is let go."""
        work_id = result.attempt.work_id
        wanted = [] if result.HasField("failure") else list(result.outputs.values())
        wrong = [self._damage.pop(name, "") or self._missing(name, work_id) for name in wanted]
        if self.site and result.ByteSize() > RESULT_BYTES:
            wrong.append(f"the result itself has {result.ByteSize():,} bytes, and {RESULT_BYTES:,} are allowed")
        self._settle(work_id, () if any(wrong) else wanted)
        return "; ".join(filter(None, wrong))

    def _settle(self, work_id: int, wanted: Collection[str]) -> None:
        """Lets go of all but these values of it, unless another attempt is owed."""
        if all(key[0] != work_id for key in self._given):
            unwanted = self._allowance.settle(work_id, wanted)
            self._folder.remove(unwanted)
            for name in unwanted:
                self._damage.pop(name, None)

    def _give_up(self, attempt: Key) -> None:
        if self._given.pop(attempt, None) is not None and not self.shares:
            self._settle(attempt[0], ())

    def _missing(self, name: str, work_id: int) -> str:
        if not name.startswith(f"{work_id}."):
            return f"value {name} is no output of work {work_id}"
        return "" if can_name(name) and name in self._folder else f"value {name} did not come before the result"

    def _assign(self, items: Sequence[pb.Assignment]) -> None:
        self._given.update((key_of(item.attempt), item) for item in items)
        if not self.shares:
            for item in items:
                self._allowance.give(item.attempt.work_id, sum(self._size_bytes(given.value) for given in item.inputs))
        self._send(items)

    def _send(self, items: Sequence[pb.Assignment]) -> None:
        if not self.shares:
            self._bring({given.value for item in items for given in item.inputs})
        if items:
            self._put(pb.ToWorker(assignments=pb.Assignments(items=items)))

    def _bring(self, wanted: set[str]) -> None:
        """Lets the worker's own folder follow ours: what we let go it may let go, what it lacks it gets."""
        gone = [name for name in self._has if name not in self._folder]
        if gone:
            self._put(pb.ToWorker(release=pb.Release(names=gone)))
            self._has.difference_update(gone)
        for name in sorted(wanted - self._has):
            self._put(name)
            self._has.add(name)

    def _size_bytes(self, name: str) -> int:
        with suppress(KeyError):  # let go meanwhile
            return self._folder.size_bytes(name)
        return 0

    def _put(self, item: pb.ToWorker | str) -> None:
        if self.stream is not None:
            self.stream.put(item)
