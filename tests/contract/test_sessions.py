"""What a session promises, whatever carries it. A new carrier subclasses SessionContract and supplies `dial`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import pytest

from cluster.sessions import Door, Given, SessionServer, Sites, WorkerSession
from cluster.sessions.chunks import CHUNK_BYTES
from cluster.shared_memory import SharedFolder
from protos import ripieno_pb2 as pb
from tests.support.remote_worker import until
from tests.support.sessions import Came, Recorder, Said, Went, assignment
from tests.support.sites import authority, door_of, listed

Dial: TypeAlias = Callable[..., WorkerSession]
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7]


def done(given: Given, **outputs: str) -> pb.Result:
    return pb.Result(attempt=given.assignment.attempt, outputs=outputs, metrics={"loss": 0.5}, computed_s=0.25)


def take(session: WorkerSession) -> Given:
    given = session.take()
    assert given is not None
    return given


class SessionContract:
    host = ""
    share = True
    sites: Sites | None = None

    def door(self, server: SessionServer, worker: str) -> Door:
        return server.door

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[SharedFolder]:
        folder = SharedFolder(tmp_path / "shared", create=True)
        yield folder
        folder.close()

    @pytest.fixture
    def heard(self) -> Recorder:
        return Recorder()

    @pytest.fixture
    def server(self, tmp_path: Path, folder: SharedFolder, heard: Recorder) -> Iterator[SessionServer]:
        server = SessionServer("r-test", tmp_path / "shared", heard, heartbeat_s=1.0, host=self.host, sites=self.sites)
        yield server
        server.close()

    @pytest.fixture
    def dial(self, server: SessionServer) -> Iterator[Dial]:
        sessions: list[WorkerSession] = []

        def dial(worker: str = "worker-0", **options: Any) -> WorkerSession:
            sessions.append(WorkerSession(self.door(server, worker), worker, share=self.share, **options))
            return sessions[-1]

        yield dial
        for session in sessions:
            session.close()

    @pytest.fixture
    def session(self, dial: Dial) -> WorkerSession:
        return dial()

    def test_a_worker_is_known_by_what_it_said(self, dial: Dial, heard: Recorder) -> None:
        dial("site-7", role="aggregator", slots=2, labels={"zone": "a"})
        came = heard.next()
        assert isinstance(came, Came)
        assert (came.peer.worker, came.peer.role, came.peer.slots) == ("site-7", "aggregator", 2)
        assert came.peer.labels == {"zone": "a"}
        assert came.peer.shares is self.share

    def test_work_and_its_result_arrive_as_they_were_sent(self, session: WorkerSession, heard: Recorder) -> None:
        peer = heard.next().peer
        given_out = [assignment(number) for number in range(100)]
        peer.assign(given_out[:60])
        peer.assign(given_out[60:])
        for sent in given_out:
            given = take(session)
            assert given.assignment == sent
            session.answer(given, done(given))
            said = heard.next()
            assert isinstance(said, Said)
            assert said.damage == ""
            assert said.result == done(given)

    @pytest.mark.parametrize("size_bytes", SIZES)
    def test_inputs_are_there_when_work_is_and_outputs_when_its_result_is(
        self, session: WorkerSession, heard: Recorder, folder: SharedFolder, size_bytes: int
    ) -> None:
        value = bytes(number % 251 for number in range(size_bytes))
        folder.write("0.weights", [value])
        heard.next().peer.assign([assignment(1, weights="0.weights")])
        given = take(session)
        read = session.folder.read("0.weights")
        assert read == value
        session.folder.write("1.gradient", [read, b"!"])
        session.answer(given, done(given, gradient="1.gradient"))
        assert heard.next().damage == ""
        assert folder.read("1.gradient") == value + b"!"

    def test_a_value_that_the_engine_cannot_keep_spoils_its_result_and_no_more(
        self, session: WorkerSession, heard: Recorder, server: SessionServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(name: str, parts: object) -> None:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)

        monkeypatch.setattr(server._folder, "write", fail)
        heard.next().peer.assign([assignment(1), assignment(2)])
        first, second = take(session), take(session)
        session.folder.write("1.gradient", [b"g"])
        session.answer(first, done(first, gradient="1.gradient"))
        session.answer(second, done(second))
        assert ("File too large" in heard.next().damage) is not self.share  # where it shares, nothing is to be written
        assert heard.next().damage == ""

    def test_a_worker_may_let_go_what_the_engine_has_let_go(
        self, session: WorkerSession, heard: Recorder, folder: SharedFolder
    ) -> None:
        peer = heard.next().peer
        for version in range(5):
            folder.remove([f"{version - 1}.weights"])
            folder.write(f"{version}.weights", [b"w" * version])
            peer.assign([assignment(version, weights=f"{version}.weights")])
            given = take(session)
            assert session.folder.names() == [f"{version}.weights"]
            session.answer(given, done(given))
            heard.next()

    def test_an_answer_counts_once(self, session: WorkerSession, heard: Recorder) -> None:
        peer = heard.next().peer
        peer.assign([assignment(1), assignment(2)])
        first, second = take(session), take(session)
        session.answer(first, done(first))
        session.answer(first, done(first))
        session.answer(second, done(second))
        assert [heard.next().result.attempt.work_id for _ in range(2)] == [1, 2]
        assert heard.quiet()

    def test_work_that_was_not_begun_can_be_cancelled(self, session: WorkerSession, heard: Recorder) -> None:
        peer = heard.next().peer
        peer.assign([assignment(1), assignment(2), assignment(3)])
        begun = take(session)
        peer.cancel([(1, 1), (2, 1)])
        cancelled = heard.next()
        assert (cancelled.result.attempt.work_id, cancelled.result.failure.cause) == (2, "cancelled")
        session.answer(begun, done(begun))
        assert heard.next().result == done(begun)
        assert take(session).assignment.attempt.work_id == 3

    def test_work_that_is_cancelled_while_it_is_done_is_interrupted(
        self, session: WorkerSession, heard: Recorder
    ) -> None:
        peer = heard.next().peer
        peer.assign([assignment(1), assignment(2)])
        begun = take(session)
        assert not session.interrupted()
        peer.cancel([(1, 1)])
        until(session.interrupted)
        session.answer(begun, done(begun))
        assert heard.next().result == done(begun)
        take(session)
        assert not session.interrupted()

    def test_a_worker_that_says_goodbye_is_gone_after_its_answers(self, dial: Dial, heard: Recorder) -> None:
        session = dial()
        heard.next().peer.assign([assignment(1)])
        given = take(session)
        session.answer(given, done(given))
        session.close("enough")
        assert heard.next().result == done(given)
        went = heard.next()
        assert isinstance(went, Went)
        assert "enough" in went.reason

    def test_an_engine_that_ends_lets_its_workers_go(
        self, session: WorkerSession, heard: Recorder, server: SessionServer
    ) -> None:
        heard.next()
        waiting = Thread(target=session.take)
        waiting.start()
        server.close()
        waiting.join(5)
        assert session.take() is None

    def test_a_dismissed_worker_is_gone_at_once(
        self, session: WorkerSession, heard: Recorder, server: SessionServer
    ) -> None:
        peer = heard.next().peer
        server.dismiss("worker-0", "its process died")
        assert heard.next() == Went(peer, "its process died")
        assert session.take() is None

    def test_the_latest_process_of_a_name_counts(self, dial: Dial, heard: Recorder) -> None:
        older = dial()
        first = heard.next().peer
        newer = dial()
        went, came = heard.next(), heard.next()
        assert isinstance(went, Went)
        assert went.peer is first
        came.peer.assign([assignment(1)])
        assert take(newer).assignment == assignment(1)
        assert older.take() is None


class TestSharedMemory(SessionContract):
    """A worker of the engine's host: frames over a unix socket."""


class TestUnixSocketOnly(SessionContract):
    """The engine's socket can be reached, its memory cannot: gRPC, as for all below."""

    share = False


class TestTls(SessionContract):
    """A worker of another host."""

    host, share = "127.0.0.1", False


class TestSite(SessionContract):
    """A worker that nobody launched, over mutual TLS."""

    share = False

    @pytest.fixture(autouse=True)
    def _authority(self, tmp_path: Path) -> None:
        self.folder_of_authority = authority(tmp_path / "authority", "worker-0", "site-7")
        self.sites = listed(self.folder_of_authority, "worker-0", "site-7", settings=b'{"task": "t"}')

    def door(self, server: SessionServer, worker: str) -> Door:
        folder = self.folder_of_authority
        return door_of(folder, worker, server.sites_at, folder.parent / "memory")

    def test_a_worker_is_known_by_what_it_said(self, dial: Dial, heard: Recorder) -> None:
        """But for its role and slots, which are not its to choose."""
        dial("site-7", labels={"zone": "a"})
        peer = heard.next().peer
        assert (peer.worker, peer.role, peer.slots, peer.labels) == ("site-7", "worker", 1, {"zone": "a"})
        assert (peer.site, peer.shares, peer.local) == (True, False, False)

    def test_it_is_told_what_a_launched_worker_knows(self, session: WorkerSession) -> None:
        welcome = session.welcome()
        assert welcome == pb.Welcome(run="r-test", settings=b'{"task": "t"}', heartbeat_s=1.0)

    def test_who_was_replaced_is_told_so(self, dial: Dial, heard: Recorder) -> None:
        older = dial()
        older.welcome()
        dial()
        assert older.take() is None
        assert older.replaced
        assert older.ended == "another process came as worker-0"
