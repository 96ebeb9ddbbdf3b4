"""Both ends of a session in one process, and a worker that says exactly what a test wants it to."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeAlias

import grpc

from cluster.sessions import Door, Peer
from cluster.sessions.transport import PROTOCOL
from protos import ripieno_pb2 as pb
from protos.ripieno_pb2_grpc import SessionsStub

PATIENCE_S = 20.0
LOCAL_POOL = ("grpc.use_local_subchannel_pool", 1)


class Came(NamedTuple):
    peer: Peer


class Said(NamedTuple):
    peer: Peer
    result: pb.Result
    damage: str


class Went(NamedTuple):
    peer: Peer
    reason: str


News: TypeAlias = Came | Said | Went


class Recorder:
    """Keeps what a server tells, in order."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[News] = SimpleQueue()

    def joined(self, peer: Peer) -> None:
        self._queue.put(Came(peer))

    def answered(self, peer: Peer, result: pb.Result, damage: str) -> None:
        self._queue.put(Said(peer, result, damage))

    def gone(self, peer: Peer, reason: str) -> None:
        self._queue.put(Went(peer, reason))

    def next(self) -> Any:
        return self._queue.get(timeout=PATIENCE_S)

    def quiet(self) -> bool:
        """Whether there is nothing more, as yet."""
        return self._queue.empty()


class RawWorker:
    """One stream, spoken by hand. heard: what the engine says; None when it has ended, with `error` if it failed.

    channel: instead of the door's unix socket.
    """

    def __init__(self, door: Door, channel: grpc.Channel | None = None, **hello: Any) -> None:
        given = {"protocol": PROTOCOL, "run": door.run, "secret": door.secret, "slots": 1, "role": "worker"}
        process = secrets.token_bytes(8)
        self.hello = pb.Hello(**{**given, "worker": "raw-0", "process": process, **hello})
        self.epoch = 0
        self.error: grpc.RpcError | None = None
        self._out: SimpleQueue[pb.FromWorker | None] = SimpleQueue()
        self._heard: SimpleQueue[pb.ToWorker | None] = SimpleQueue()
        self._channel = channel or grpc.insecure_channel(f"unix:{door.socket}", [LOCAL_POOL])
        self._out.put(pb.FromWorker(hello=self.hello))
        self._call = SessionsStub(self._channel).Session(iter(self._out.get, None))
        Thread(target=self._listen, daemon=True).start()

    def welcome(self) -> pb.Welcome:
        message = self.hear()
        assert message is not None, self.error
        self.epoch = message.epoch
        return message.welcome

    def say(self, epoch: int | None = None, **body: Any) -> None:
        self._out.put(pb.FromWorker(epoch=self.epoch if epoch is None else epoch, **body))

    def hear(self) -> pb.ToWorker | None:
        try:
            return self._heard.get(timeout=PATIENCE_S)
        except Empty:
            raise AssertionError("the engine said nothing") from None

    def hang_up(self) -> None:
        self._out.put(None)
        self._call.cancel()
        self._channel.close()

    def _listen(self) -> None:
        try:
            for message in self._call:
                self._heard.put(message)
        except grpc.RpcError as error:
            self.error = error
        self._heard.put(None)


@contextmanager
def raw_worker(door: Door, channel: grpc.Channel | None = None, **hello: Any) -> Iterator[RawWorker]:
    worker = RawWorker(door, channel, **hello)
    try:
        yield worker
    finally:
        worker.hang_up()


def assignment(number: int, attempt: int = 1, **inputs: str) -> pb.Assignment:
    return pb.Assignment(
        attempt=pb.Attempt(work_id=number, attempt=attempt),
        kind="noop",
        inputs=[pb.Input(input=name, value=value) for name, value in inputs.items()],
        params=b"{}",
    )
