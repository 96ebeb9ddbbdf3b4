"""A worker's end of its session: takes work, gives answers, and comes back when the stream breaks."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Event, Thread
from time import monotonic
from typing import Protocol, Self

import grpc

from cluster.sessions.chunks import Damaged, Joiner, split
from cluster.sessions.door import Door, Refused
from cluster.sessions.frames import ClientFrames
from cluster.sessions.ledger import Given, Ledger
from cluster.sessions.transport import FRAMES_FILE, PROTOCOL, SERVER_NAME, TOKEN_FILE, connection_options, host_token
from cluster.shared_memory import OtherBytes, SharedFolder, SharedMemoryFull, reap
from protos import ripieno_pb2 as pb
from protos.ripieno_pb2_grpc import SessionsStub

BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Pauses between attempts to reach the engine; the last one is repeated."""

GIVE_UP_S = 30.0
"""How long an engine that does not answer is tried, if nothing else was said."""

CLOSE_S = 2.0
CANCELLED = pb.Failure(cause="cancelled", message="cancelled before it was begun")


class Outbox(Protocol):
    """Where messages of the present stream go; None: there will be no more."""

    def put(self, messages: Iterable[pb.FromWorker] | None) -> None: ...


class EngineGone(Exception):
    """No engine could be reached for so long that this worker gives up. worker, tried_s; last: the last error."""

    def __init__(self, worker: str, tried_s: float, last: str) -> None:
        super().__init__(worker, tried_s, last)
        self.worker, self.tried_s, self.last = worker, tried_s, last

    def __str__(self) -> str:
        return f"worker {self.worker} has not reached its engine for {self.tried_s:g} s and ends: {self.last}"


class WorkerSession:
    """One worker's session with an engine, over as many streams as it takes.

    Work survives a broken stream: the engine is told what is held, and answers that it may not have got are sent again
    (it drops repeats). To an engine that does not know this process it is a newcomer: all that was held is forgotten.

    Threads: any may call anything; the streams and the heartbeats have threads of their own, so that a worker deep
    in its work is still heard.

    Args:
        share: False: behaves as on a host where the engine's shared memory is not.
        patience_s: > 0, how long an engine that does not answer is tried. tell: is told in a sentence when the engine
            is lost, and when it is found again; on the session's thread.
    Attributes:
        folder: where values are read and written: the engine's, or one of its own if that cannot be reached.
        foreign: messages of another epoch, ignored.
        ended: why the session has ended, "" while it goes on. replaced: because another process came in this name.
    """

    def __init__(
        self,
        door: Door,
        worker: str,
        *,
        role: str = "worker",
        slots: int = 1,
        labels: Mapping[str, str] | None = None,
        share: bool = True,
        patience_s: float = GIVE_UP_S,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._door, self._worker, self._patience_s, self._tell = door, worker, patience_s, tell
        self._heartbeat_s = door.heartbeat_s
        process = secrets.token_bytes(8)
        token = _token_of(door) if share else b""
        self._shares = bool(token)
        own = Path(f"{door.folder}-{worker}-{process.hex()}")
        reap(own.parent, f"{Path(door.folder).name}-")
        place = Path(door.folder) if self._shares else own
        self.folder = SharedFolder(place, create=not self._shares, writer=process.hex())
        self._hello = pb.Hello(
            protocol=PROTOCOL,
            run=door.run,
            secret=door.secret,
            worker=worker,
            process=process,
            role=role,
            slots=slots,
            labels=labels or {},
            host_token=token,
        )
        self.foreign = 0
        self._changed = Condition()  # guards all below
        self._ledger = Ledger()
        self._latest: Given | None = None  # of what was taken
        self._outbox: Outbox = SimpleQueue()  # of the present stream; messages may be made as it is read
        self._epoch = 0  # of the present stream; 0 before its welcome
        self._known: set[str] = set()  # values in the worker's own folder that the engine has too
        self._damage: dict[str, str] = {}
        self._ended: Exception | str = ""
        self._welcome: pb.Welcome | None = None  # the first
        self.replaced = False
        self._closing = Event()
        self._threads = [Thread(target=target, daemon=True) for target in (self._connect, self._beat)]
        for thread in self._threads:
            thread.start()

    @property
    def ended(self) -> str:
        with self._changed:
            return str(self._ended)

    def welcome(self) -> pb.Welcome | None:
        """What the engine said when it first let this worker in; waits for it. None, and raises: as `take`."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._welcome)
            if isinstance(self._ended, Exception):
                raise self._ended
            return None if self._ended else self._welcome

    def take(self) -> Given | None:
        """The next piece of work; waits for it. None: the engine said goodbye, or `close` was called.

        Raises:
            Refused: the engine does not let this worker in. EngineGone: it cannot be reached.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._ledger.pending)
            if isinstance(self._ended, Exception):
                raise self._ended
            if self._ended:
                return None
            self._latest = self._ledger.take()
            return self._latest

    def interrupted(self) -> bool:
        """Whether the work that was taken last may be left undone: it was cancelled, or its engine is no more."""
        with self._changed:
            return self._latest is not None and self._ledger.unwanted(self._latest)

    def damage(self, name: str) -> str:
        """Why a value that the engine sent cannot be read; "" if nothing is known against it."""
        with self._changed:
            return self._damage.get(name, "")

    def answer(self, given: Given, result: pb.Result) -> None:
        """Sends a result, whose values must be in `folder`, as often as it takes. Returns at once."""
        with self._changed:
            if self._ledger.answer(given, result):
                self._send(result)
            elif not self._shares:
                self.folder.remove(result.outputs.values())  # of an engine that is no more

    def close(self, reason: str = "done") -> None:
        """Says goodbye, after all that was answered, and removes the worker's own folder. Takes CLOSE_S at most."""
        with self._changed:
            if self._epoch:
                self._outbox.put([pb.FromWorker(epoch=self._epoch, goodbye=pb.Goodbye(reason=reason))])
            self._outbox.put(None)
        self._end(reason)
        try:
            for thread in self._threads:
                thread.join(CLOSE_S / len(self._threads))
        finally:
            self.folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _end(self, why: Exception | str) -> None:
        with self._changed:
            self._ended = self._ended or why
            self._closing.set()
            self._changed.notify_all()

    def _connect(self) -> None:
        try:
            self._keep_connected()
        except Exception as error:  # ours, but nobody may wait for ever in `take`
            self._end(error)

    def _keep_connected(self) -> None:
        """Stream after stream, until one side has had enough."""
        pauses_s, lost_s = iter(BACKOFF_S), monotonic()
        while not self._closing.is_set():
            before = self._hello.last_epoch
            last = self._converse()
            if self._hello.last_epoch != before:
                pauses_s, lost_s = iter(BACKOFF_S), monotonic()
                if not self._closing.is_set():
                    self._tell(f"the engine is lost ({last}); it is tried again for {self._patience_s:g} s")
            pause_s = next(pauses_s, BACKOFF_S[-1])
            if monotonic() + pause_s - lost_s > self._patience_s:
                self._end(EngineGone(self._worker, self._patience_s, last))
            self._closing.wait(pause_s)

    def _beat(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._epoch or self._ended)  # the welcome may say how often
        while not self._closing.wait(self._heartbeat_s):
            with self._changed:
                if self._epoch:
                    self._outbox.put([pb.FromWorker(epoch=self._epoch, heartbeat=pb.Heartbeat())])

    def _converse(self) -> str:
        """One stream, from Hello to its end. Returns why it ended."""
        return self._converse_here() if self._shares else self._converse_by_grpc()

    def _converse_here(self) -> str:
        try:
            frames = ClientFrames(str(Path(self._door.folder) / FRAMES_FILE))
        except OSError as error:
            return str(error)
        with closing(frames):
            with self._changed:
                self._outbox = frames
                frames.put([self._hello_now()])
            joiner = Joiner()
            try:
                for message in frames:
                    if not self._epoch and message.WhichOneof("body") == "goodbye":
                        self._end(Refused(self._worker, message.goodbye.reason))
                    else:
                        self._receive(message, joiner)
            finally:
                with self._changed:
                    self._epoch = 0
        return "the engine ended the stream"

    def _converse_by_grpc(self) -> str:
        outbox: SimpleQueue[Iterable[pb.FromWorker] | None] = SimpleQueue()
        with self._changed:
            self._outbox = outbox
            outbox.put([self._hello_now()])
        with self._channel() as channel:
            call = SessionsStub(channel).Session(chain.from_iterable(iter(outbox.get, None)))
            joiner = Joiner()
            try:
                for message in call:
                    self._receive(message, joiner)
                return "the engine ended the stream"
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                    self._end(Refused(self._worker, error.details() or "no reason was given"))
                return error.details() or str(error.code())
            finally:
                with self._changed:
                    self._epoch = 0
                outbox.put(None)
                call.cancel()

    def _channel(self) -> grpc.Channel:
        """To the engine's address; where it has none, through its unix socket."""
        options = [
            *connection_options(self._door.heartbeat_s),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        if not self._door.address:
            return grpc.insecure_channel(f"unix:{self._door.socket}", options)
        door = self._door
        if door.own_key:
            shown = door.own_key.encode(), door.own_certificate.encode()
            return grpc.secure_channel(
                door.address, grpc.ssl_channel_credentials(door.certificate.encode(), *shown), options
            )
        credentials = grpc.ssl_channel_credentials(door.certificate.encode())
        options_tls = [*options, ("grpc.ssl_target_name_override", SERVER_NAME)]
        return grpc.secure_channel(door.address, credentials, options_tls)

    def _hello_now(self) -> pb.FromWorker:
        del self._hello.held[:], self._hello.values[:]
        self._hello.held.extend(self._ledger.held())
        if not self._shares:
            self._hello.values.extend(sorted(self._known))
        return pb.FromWorker(hello=self._hello)

    def _receive(self, message: pb.ToWorker, joiner: Joiner) -> None:
        body = message.WhichOneof("body")
        if body == "chunk" and message.epoch == self._epoch:
            self._keep(message.chunk, joiner)
            return
        with self._changed:
            if body == "welcome":
                self._welcomed(message)
            elif message.epoch != self._epoch:
                self.foreign += 1
            else:
                acknowledged = self._ledger.acknowledge(message.acknowledged)
                if not self._shares:
                    self._known.update(name for result in acknowledged for name in result.outputs.values())
                self._obey(message, body)
            self._changed.notify_all()

    def _welcomed(self, message: pb.ToWorker) -> None:
        self._welcome = self._welcome or message.welcome
        if (message.welcome.run, message.welcome.settings) != (self._welcome.run, self._welcome.settings):
            self._end(f"another run is served there now: {message.welcome.run}")
            return
        if self._hello.last_epoch:
            known = "and goes on" if message.welcome.resumed else "and begins anew with this worker"
            self._tell(f"the engine is there again, {known}")
        self._heartbeat_s = message.welcome.heartbeat_s or self._heartbeat_s
        self._epoch = self._hello.last_epoch = message.epoch
        if not message.welcome.resumed:
            self._damage.clear()
            self._known.clear()
            if not self._shares:
                self.folder.remove(self.folder.names())
        for result in self._ledger.welcome(message.welcome.resumed):
            self._send(result)

    def _obey(self, message: pb.ToWorker, body: str | None) -> None:
        if body == "assignments":
            self._ledger.give(message.assignments.items)
        elif body == "cancel":
            for given in self._ledger.cancel(message.cancel.attempts):
                self.answer(given, pb.Result(attempt=given.assignment.attempt, failure=CANCELLED))
        elif body == "release":
            self.folder.remove(message.release.names)
            self._known.difference_update(message.release.names)
            for name in message.release.names:
                self._damage.pop(name, None)
        elif body == "goodbye":
            self.replaced = message.goodbye.replaced
            self._end(message.goodbye.reason)

    def _keep(self, chunk: pb.Chunk, joiner: Joiner) -> None:
        try:
            whole = joiner.add(chunk)
            if whole is not None:
                name, data = whole
                self.folder.write(name, [data])
                with self._changed:
                    self._known.add(name)
        except (Damaged, OtherBytes, SharedMemoryFull, OSError) as error:
            with self._changed:
                self._damage[chunk.name] = str(error)

    def _send(self, result: pb.Result) -> None:
        if self._epoch:
            self._outbox.put(self._messages(self._epoch, result))

    def _messages(self, epoch: int, result: pb.Result) -> Iterator[pb.FromWorker]:
        """A result, after its values where the engine cannot read them here. Made as the stream takes them."""
        if not self._shares:
            for name in result.outputs.values():
                with suppress(KeyError):  # released meanwhile: nobody waits for it any more
                    for chunk in split(name, self.folder.read(name)):
                        yield pb.FromWorker(epoch=epoch, chunk=chunk)
        yield pb.FromWorker(epoch=epoch, result=result)


def _token_of(door: Door) -> bytes:
    """What this engine left in its shared folder; b"" if that folder is not seen here, or not this engine's, or not
    for this user."""
    folder, token = Path(door.folder), host_token(door.secret)
    try:
        mine = folder.stat().st_uid == os.geteuid()
        return token if mine and (folder / TOKEN_FILE).read_bytes() == token else b""
    except OSError:
        return b""
