"""What goes wrong on a stream, and with those who should not be on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import grpc
import pytest
from structlog.testing import capture_logs

from cluster.sessions import Given, Refused, SessionServer, WorkerSession
from cluster.sessions.certificate import make_certificate
from cluster.sessions.server import SILENT_BEATS
from cluster.sessions.transport import SERVER_NAME, TOKEN_FILE
from cluster.shared_memory import SharedFolder
from protos import ripieno_pb2 as pb
from tests.support.proxy import Proxy
from tests.support.remote_worker import until
from tests.support.sessions import Came, Recorder, Said, Went, assignment, raw_worker

HEARTBEAT_S = 1.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SharedFolder]:
    folder = SharedFolder(tmp_path / "shared", create=True)
    yield folder
    folder.close()


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


@pytest.fixture
def server(tmp_path: Path, folder: SharedFolder, heard: Recorder) -> Iterator[SessionServer]:
    server = SessionServer("r-test", tmp_path / "shared", heard, heartbeat_s=HEARTBEAT_S, host="127.0.0.1")
    yield server
    server.close()


@pytest.fixture
def proxy(server: SessionServer) -> Iterator[Proxy]:
    proxy = Proxy(server.door.address)
    yield proxy
    proxy.close()


def take(session: WorkerSession, work_id: int) -> Given:
    given = session.take()
    assert given is not None
    assert given.assignment.attempt.work_id == work_id
    return given


def answer(session: WorkerSession, given: Given, *outputs: str) -> None:
    session.answer(given, pb.Result(attempt=given.assignment.attempt, outputs={name: name for name in outputs}))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"secret": "guessed"}, "its secret is not this run's"),
        ({"run": "r-other"}, "it belongs to run 'r-other' and this is run 'r-test'"),
        ({"protocol": 99}, "it speaks version 99 of the protocol and the engine version 1"),
        ({"slots": 0}, "it takes no work"),
        ({"worker": ""}, "it did not say hello"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_who_does_not_belong_here_is_turned_away_and_the_log_says_why(
    server: SessionServer, heard: Recorder, wrong: dict[str, Any], reason: str
) -> None:
    with capture_logs() as logs, raw_worker(server.door, **wrong) as worker:
        assert worker.hear() is None
        assert worker.error is not None
        assert worker.error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert [log["event"] for log in logs if reason in str(log.get("reason"))] == ["session_refused"]
    assert heard.quiet()


def test_a_worker_that_is_turned_away_does_not_try_again(server: SessionServer) -> None:
    with (
        WorkerSession(replace(server.door, secret="guessed"), "worker-0") as session,
        pytest.raises(Refused, match="worker worker-0 was turned away: its secret is not this run's"),
    ):
        session.take()


def test_an_engine_with_another_certificate_is_not_spoken_to(server: SessionServer, proxy: Proxy) -> None:
    """A wrong secret would be a refusal; here no secret is even said."""
    impostor = replace(server.door, address=proxy.address, certificate=make_certificate(SERVER_NAME)[1].decode())
    with capture_logs() as logs, WorkerSession(impostor, "worker-0", share=False):
        until(lambda: proxy.accepted >= 2)  # so the first attempt has failed
    assert logs == []


def test_messages_of_another_epoch_are_ignored_and_counted(server: SessionServer, heard: Recorder) -> None:
    with raw_worker(server.door) as worker:
        assert not worker.welcome().resumed
        heard.next().peer.assign([assignment(1)])
        worker.hear()
        foreign = pb.Result(attempt=pb.Attempt(work_id=1, attempt=1), computed_s=1.0)
        own = pb.Result(attempt=pb.Attempt(work_id=1, attempt=1), computed_s=2.0)
        worker.say(epoch=worker.epoch - 1, result=foreign)
        worker.say(epoch=worker.epoch + 1, result=foreign)
        worker.say(result=own)
        assert heard.next().result == own
    assert server.foreign == 2


def test_answers_to_nothing_and_repeats_are_dropped(server: SessionServer, heard: Recorder) -> None:
    with raw_worker(server.door) as worker:
        worker.welcome()
        heard.next().peer.assign([assignment(1), assignment(2)])
        for number in (7, 1, 1, 2):
            worker.say(result=pb.Result(attempt=pb.Attempt(work_id=number, attempt=1)))
        assert [heard.next().result.attempt.work_id for _ in range(2)] == [1, 2]
        assert heard.quiet()


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ({"data": b"valuE"}, "fail their checksum"),
        ({"offset": 3}, "byte 3 came when byte 0 was due"),
        ({"size_bytes": 4}, "longer than the 4 bytes that were announced"),
        ({"size_bytes": 1 << 60}, "MB and its file system has"),
        ({"name": "1.other"}, "did not come before the result"),
    ],
    ids=["changed", "lost its beginning", "too long", "far too long", "never came"],
)
def test_a_damaged_value_spoils_the_result_that_names_it_and_nothing_else(
    server: SessionServer, heard: Recorder, folder: SharedFolder, damaged: dict[str, Any], reason: str
) -> None:
    chunk: dict[str, Any] = {"name": "1.out", "offset": 0, "size_bytes": 5, "data": b"value", "crc32": crc32(b"value")}
    with raw_worker(server.door) as worker:
        worker.welcome()
        heard.next().peer.assign([assignment(1), assignment(2)])
        worker.say(chunk=pb.Chunk(**{**chunk, **damaged}))
        worker.say(result=pb.Result(attempt=pb.Attempt(work_id=1, attempt=1), outputs={"out": "1.out"}))
        worker.say(chunk=pb.Chunk(**{**chunk, "name": "2.out"}))
        worker.say(result=pb.Result(attempt=pb.Attempt(work_id=2, attempt=1), outputs={"out": "2.out"}))
        assert reason in heard.next().damage
        assert heard.next().damage == ""
    assert bytes(folder.read("2.out")) == b"value"
    assert "1.out" not in folder


def test_a_worker_that_is_silent_for_too_long_is_let_go(server: SessionServer, heard: Recorder) -> None:
    with raw_worker(server.door) as worker:
        worker.welcome()
        heard.next()
        went = heard.next()
    assert went.reason == f"no sign of life for {SILENT_BEATS * HEARTBEAT_S:g} s"


def test_a_cut_stream_that_heals_in_time_loses_and_repeats_nothing(
    server: SessionServer, heard: Recorder, proxy: Proxy, folder: SharedFolder
) -> None:
    folder.write("0.weights", [bytes(1 << 20)])
    door = replace(server.door, address=proxy.address)
    with WorkerSession(door, "site-0", share=False) as session:
        peer = heard.next().peer
        peer.assign([assignment(number, weights="0.weights") for number in (1, 2)])
        done_meanwhile, done_later = take(session, 1), take(session, 2)
        for name in ("1.out", "2.out"):
            session.folder.write(name, [name.encode()])
        proxy.cut()
        until(lambda: peer.stream is None)
        peer.assign([assignment(3, weights="0.weights")])  # given while it is away
        answer(session, done_meanwhile, "1.out")
        proxy.heal()
        said = heard.next()
        assert isinstance(said, Said), "not gone, not joined again"
        assert (said.peer, said.damage) == (peer, "")
        given = take(session, 3)
        assert bytes(session.folder.read("0.weights")) == bytes(1 << 20)
        answer(session, done_later, "2.out")
        assert heard.next().damage == ""
        assert [bytes(folder.read(name)) for name in ("1.out", "2.out")] == [b"1.out", b"2.out"]
        answer(session, given)
        assert heard.next().result.attempt.work_id == 3
        assert heard.quiet()


def test_a_cut_stream_that_does_not_heal_in_time_is_the_end_of_its_worker(
    server: SessionServer, heard: Recorder, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.sessions.server.GRACE_S", 0.3)
    with WorkerSession(replace(server.door, address=proxy.address), "site-0", share=False) as session:
        first = heard.next().peer
        first.assign([assignment(1)])
        forgotten = take(session, 1)
        proxy.cut()
        assert "it was not back within 0.3 s" in heard.next().reason
        proxy.heal()
        second = heard.next().peer
        assert second is not first
        answer(session, forgotten)
        second.assign([assignment(1, attempt=2)])
        answer(session, take(session, 1))
        assert heard.next().result.attempt.attempt == 2


@pytest.mark.parametrize("left", ["nothing", "another engine's", "another user's"])
def test_a_folder_of_the_same_name_is_not_the_engines_shared_memory(
    server: SessionServer, heard: Recorder, tmp_path: Path, left: str
) -> None:
    """As an engine that was killed leaves it on its host, when the run goes on from another one."""
    if left == "another user's" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    there = tmp_path / "there"
    if left != "nothing":
        there.mkdir(mode=0o700)
        token = Path(server.door.folder, TOKEN_FILE).read_bytes()
        (there / TOKEN_FILE).write_bytes(b"of another" if left == "another engine's" else token)
        if left == "another user's":
            os.chown(there, 12345, 12345)
    with WorkerSession(replace(server.door, folder=str(there)), "worker-0") as session:
        assert heard.next().peer.shares is False
        assert session.folder.path != there


def test_a_new_engine_wants_nothing_of_what_the_old_one_gave(server: SessionServer, heard: Recorder) -> None:
    with raw_worker(server.door, last_epoch=12345, held=[pb.Attempt(work_id=9, attempt=1)]) as worker:
        assert not worker.welcome().resumed
        worker.say(result=pb.Result(attempt=pb.Attempt(work_id=9, attempt=1)))
        heard.next().peer.assign([assignment(9, attempt=2)])
        worker.say(result=pb.Result(attempt=pb.Attempt(work_id=9, attempt=2)))
        assert heard.next().result.attempt.attempt == 2


def test_a_stale_process_does_not_push_out_its_successor(server: SessionServer, heard: Recorder) -> None:
    with raw_worker(server.door), raw_worker(server.door) as newer:
        newer.welcome()
        assert [type(heard.next()) for _ in range(3)] == [Came, Went, Came]
        with raw_worker(server.door, last_epoch=12345) as stale:
            assert stale.hear() is None
            assert stale.error is not None
            assert stale.error.details() == "a newer process speaks as raw-0"
        assert heard.quiet()
