"""Who is let in as a site, and what those who are can and cannot do to a run."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

import grpc
import pytest
from structlog.testing import capture_logs

from cluster.certificates import load_server
from cluster.sessions import Address, Door, EngineGone, Refused, SessionServer, Sites, WorkerSession
from cluster.sessions.allowance import LEAST_BYTES
from cluster.sessions.chunks import CHUNK_BYTES
from cluster.sessions.gate import CONNECTIONS, STRANGERS
from cluster.sessions.peer import SENSELESS
from cluster.shared_memory import SharedFolder
from protos import ripieno_pb2 as pb
from tests.support.proxy import Proxy
from tests.support.remote_worker import until
from tests.support.sessions import Came, RawWorker, Recorder, Went, assignment, raw_worker
from tests.support.sites import HOST, authority, channel_of, door_of, listed

Log: TypeAlias = Sequence[MutableMapping[str, Any]]
NOBODY = Door(run="", secret="", socket="", folder="")
SITE = {"run": "", "secret": "", "worker": "north"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SharedFolder]:
    folder = SharedFolder(tmp_path / "shared", create=True)
    yield folder
    folder.close()


@pytest.fixture
def heard() -> Recorder:
    return Recorder()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return authority(tmp_path / "authority", "north", "south", "stranger")


@pytest.fixture
def server(tmp_path: Path, folder: SharedFolder, heard: Recorder, certificates: Path) -> Iterator[SessionServer]:
    sites = listed(certificates, "north", "south")
    server = SessionServer("r-test", folder.path, heard, heartbeat_s=1.0, sites=sites)
    yield server
    server.close()


@pytest.fixture
def north(server: SessionServer, heard: Recorder, certificates: Path) -> Iterator[RawWorker]:
    """A site of that name, spoken by hand, that was let in."""
    with raw_worker(NOBODY, channel_of(server.sites_at, certificates, certificates / "site-north"), **SITE) as worker:
        worker.welcome()
        yield worker


def refusals(logs: Log) -> list[str]:
    return [log["reason"] for log in logs if log["event"] in ("site_refused", "session_refused")]


def turned_away(server: SessionServer, channel: grpc.Channel, **hello: Any) -> tuple[grpc.StatusCode, list[str]]:
    """What such a site sees, and what the server's log says."""
    with capture_logs() as logs, raw_worker(NOBODY, channel, **{**SITE, **hello}) as worker:
        assert worker.hear() is None
        assert worker.error is not None
        until(lambda: refusals(logs) != [])
        return worker.error.code(), refusals(logs)


def test_a_site_without_a_certificate_is_turned_away(
    server: SessionServer, heard: Recorder, certificates: Path
) -> None:
    code, reasons = turned_away(server, channel_of(server.sites_at, certificates, None))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert reasons[0] == "it shows no certificate"
    assert heard.quiet()


def test_a_site_of_another_authority_is_turned_away(
    server: SessionServer, heard: Recorder, certificates: Path, tmp_path: Path
) -> None:
    other = authority(tmp_path / "other", "north")
    code, reasons = turned_away(server, channel_of(server.sites_at, certificates, other / "site-north"))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "its certificate will not do" in reasons[0]
    assert "it is of another authority" in reasons[0]
    assert heard.quiet()


def test_a_site_whose_certificate_has_expired_is_turned_away(
    server: SessionServer, heard: Recorder, certificates: Path
) -> None:
    authority(certificates, "old", days=-1)
    code, reasons = turned_away(
        server, channel_of(server.sites_at, certificates, certificates / "site-old"), worker="old"
    )
    assert code is grpc.StatusCode.UNAVAILABLE
    assert reasons[0] == "its certificate will not do: certificate has expired"
    assert heard.quiet()


def test_a_servers_certificate_is_no_sites(server: SessionServer, heard: Recorder, certificates: Path) -> None:
    code, reasons = turned_away(server, channel_of(server.sites_at, certificates, certificates / "server"))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "certificate purpose" in reasons[0]
    assert heard.quiet()


def test_a_site_that_is_not_on_the_list_is_turned_away_and_told_why(
    server: SessionServer, heard: Recorder, certificates: Path
) -> None:
    channel = channel_of(server.sites_at, certificates, certificates / "site-stranger")
    code, reasons = turned_away(server, channel, worker="stranger")
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert reasons == ["site 'stranger' is not on the list of this run"]
    assert heard.quiet()


@pytest.mark.parametrize(
    ("hello", "reason"),
    [
        ({"worker": "south"}, "its certificate is of site 'north', and it calls itself 'south'"),
        ({"worker": "aggregator-0"}, "its certificate is of site 'north', and it calls itself 'aggregator-0'"),
        ({"role": "aggregator"}, "a site does work of role 'worker', and it offers 'aggregator'"),
        ({"slots": 1000}, "a site takes one piece of work at a time, and it offers 1000 slots"),
        ({"slots": 0}, "a site takes one piece of work at a time, and it offers 0 slots"),
        ({"labels": {"zone": "a" * 5000}}, "its labels are longer than 4096 bytes"),
        ({"protocol": 99}, "it speaks version 99"),
    ],
    ids=["another site", "the aggregator", "role", "many slots", "no slots", "labels", "protocol"],
)
def test_a_site_is_who_its_certificate_says_and_does_a_sites_work(
    server: SessionServer, heard: Recorder, certificates: Path, hello: dict[str, Any], reason: str
) -> None:
    channel = channel_of(server.sites_at, certificates, certificates / "site-north")
    code, reasons = turned_away(server, channel, **hello)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert reason in reasons[0]
    assert heard.quiet()


def test_a_launched_workers_name_cannot_be_taken_by_a_site_nor_the_other_way_round(
    server: SessionServer, heard: Recorder, certificates: Path, north: RawWorker
) -> None:
    heard.next()
    with raw_worker(server.door, worker="south"), raw_worker(server.door, worker="north") as launched:
        assert launched.hear() is None
        assert isinstance(heard.next(), Came)
        channel = channel_of(server.sites_at, certificates, certificates / "site-south")
        code, reasons = turned_away(server, channel, worker="south")
    assert (code, reasons) == (grpc.StatusCode.PERMISSION_DENIED, ["a worker of another kind is called south"])


def test_one_site_cannot_take_up_all_connections(server: SessionServer, heard: Recorder, certificates: Path) -> None:
    def channel() -> grpc.Channel:
        return channel_of(server.sites_at, certificates, certificates / "site-north")

    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            worker = stack.enter_context(raw_worker(NOBODY, channel(), **SITE, process=b"the same"))
            worker.welcome()
        code, reasons = turned_away(server, channel(), process=b"the same")
        assert code is grpc.StatusCode.UNAVAILABLE
        assert reasons[0] == "site 'north' has 8 connections already"
        south = channel_of(server.sites_at, certificates, certificates / "site-south")
        with raw_worker(NOBODY, south, **{**SITE, "worker": "south"}) as other:
            other.welcome()


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", secrets.token_bytes(500), b""], ids=["http", "noise", "-"])
def test_who_speaks_no_tls_is_turned_away(server: SessionServer, heard: Recorder, said: bytes) -> None:
    where = Address.from_text(server.sites_at)
    with capture_logs() as logs, socket.create_connection((where.host, where.port)) as stranger:
        stranger.sendall(said)
        stranger.shutdown(socket.SHUT_WR)
        until(lambda: refusals(logs) != [])
    assert "TLS handshake failed" in refusals(logs)[0] or "hung up" in refusals(logs)[0]
    assert heard.quiet()


def test_a_crowd_of_strangers_is_not_all_let_in(server: SessionServer) -> None:
    """They say nothing: those that are heard are waited for, the others are let go at once."""
    where = Address.from_text(server.sites_at)
    with ExitStack() as stack, capture_logs() as logs:
        crowd = [stack.enter_context(socket.create_connection((where.host, where.port))) for _ in range(STRANGERS + 20)]
        until(lambda: len(refusals(logs)) == 20)
        assert set(refusals(logs)) == {f"{STRANGERS} others are at the gate"}
        for stranger in crowd:
            stranger.setblocking(False)
        assert sum(hung_up(stranger) for stranger in crowd) == 20


def hung_up(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(1) == b""
    except BlockingIOError:
        return False


def test_the_unix_socket_still_wants_the_secret(server: SessionServer, heard: Recorder) -> None:
    with raw_worker(server.door, None, **SITE) as worker:
        assert worker.hear() is None
    assert heard.quiet()


def test_a_site_does_not_speak_to_a_server_of_another_authority_or_name(
    server: SessionServer, heard: Recorder, certificates: Path, tmp_path: Path
) -> None:
    other = authority(tmp_path / "other", "north")
    impostors = [
        channel_of(server.sites_at, other, other / "site-north"),
        channel_of(
            server.sites_at,
            certificates,
            certificates / "site-north",
            ("grpc.ssl_target_name_override", "elsewhere.example"),
        ),
    ]
    for channel in impostors:
        with raw_worker(NOBODY, channel, **SITE) as worker:
            assert worker.hear() is None
            assert worker.error is not None
            assert worker.error.code() is grpc.StatusCode.UNAVAILABLE
    assert heard.quiet()


def test_a_refused_session_says_so_and_one_that_finds_nobody_is_patient(
    server: SessionServer, certificates: Path, tmp_path: Path
) -> None:
    stranger = door_of(certificates, "stranger", server.sites_at, tmp_path / "memory")
    with WorkerSession(stranger, "stranger") as session, pytest.raises(Refused, match="not on the list of this run"):
        session.welcome()
    with socket.create_server((HOST, 0)) as free:
        nobody = f"{HOST}:{free.getsockname()[1]}"
    north = door_of(certificates, "north", nobody, tmp_path / "memory")
    with (
        WorkerSession(north, "north", patience_s=0.5) as session,
        pytest.raises(EngineGone, match=r"has not reached its engine for 0\.5 s"),
    ):
        session.take()


def test_a_site_waits_for_the_next_engine_at_the_same_address(
    folder: SharedFolder, heard: Recorder, certificates: Path, tmp_path: Path
) -> None:
    """Behind a proxy that is cut, an engine ends as if it were killed: its goodbye is not heard."""
    address = Address(HOST, 0)
    proxy: Proxy | None = None
    with ExitStack() as stack:
        for attempt in range(1, 4):
            sites = Sites(address, load_server(certificates / "server", HOST), frozenset({"north"}))
            server = SessionServer("r-test", folder.path, heard, heartbeat_s=1.0, sites=sites)
            stack.callback(server.close)
            if proxy is None:
                address, proxy = Address.from_text(server.sites_at), Proxy(server.sites_at)
                stack.callback(proxy.close)
                door = door_of(certificates, "north", proxy.address, tmp_path / "memory")
                session = stack.enter_context(WorkerSession(door, "north", patience_s=60))
            proxy.heal()
            heard.next().peer.assign([assignment(5, attempt)])
            given = session.take()
            assert given is not None
            session.answer(given, pb.Result(attempt=given.assignment.attempt))
            assert heard.next().result.attempt.attempt == attempt
            proxy.cut()
            server.close()
            assert isinstance(heard.next(), Went)


def test_a_site_that_is_waited_for_is_gone_when_the_engine_ends(
    server: SessionServer, heard: Recorder, certificates: Path, tmp_path: Path
) -> None:
    proxy = Proxy(server.sites_at)
    with closing(proxy), WorkerSession(door_of(certificates, "north", proxy.address, tmp_path / "memory"), "north"):
        peer = heard.next().peer
        proxy.cut()
        until(lambda: peer.stream is None)
        assert heard.quiet()
        server.close()
        assert heard.next() == Went(peer, "the engine has ended")


def test_an_engine_that_ends_says_goodbye_to_its_sites(
    server: SessionServer, certificates: Path, tmp_path: Path
) -> None:
    door = door_of(certificates, "north", server.sites_at, tmp_path / "memory")
    with WorkerSession(door, "north") as session:
        assert session.welcome() is not None
        server.close()
        assert session.take() is None
        assert (session.ended, session.replaced) == ("the engine has ended", False)


def test_a_cut_stream_of_a_site_heals(
    server: SessionServer, heard: Recorder, certificates: Path, tmp_path: Path
) -> None:
    proxy = Proxy(server.sites_at)
    try:
        with WorkerSession(door_of(certificates, "north", proxy.address, tmp_path / "memory"), "north") as session:
            peer = heard.next().peer
            peer.assign([assignment(1)])
            given = session.take()
            assert given is not None
            session.folder.write("1.out", [bytes(3 * CHUNK_BYTES)])
            proxy.cut()
            until(lambda: peer.stream is None)
            session.answer(given, pb.Result(attempt=given.assignment.attempt, outputs={"out": "1.out"}))
            proxy.heal()
            said = heard.next()
            assert (said.peer, said.damage) == (peer, "")
    finally:
        proxy.close()


def chunk(name: str, data: bytes = b"value", **changed: Any) -> pb.Chunk:
    return pb.Chunk(
        **{"name": name, "offset": 0, "size_bytes": len(data), "data": data, "crc32": crc32(data), **changed}
    )


def answer(number: int, **outputs: str) -> pb.Result:
    return pb.Result(attempt=pb.Attempt(work_id=number, attempt=1), outputs=outputs)


@pytest.mark.parametrize(
    "name",
    [
        "8.out",
        "0.weights",
        "given.start",
        "7",
        "7.",
        ".7.out",
        "7./etc/passwd",
        "../7.out",
        "7.\0",
        "07.out",
        "9" * 9999,
    ],
)
def test_a_site_writes_outputs_of_its_own_work_only(
    north: RawWorker, heard: Recorder, folder: SharedFolder, name: str
) -> None:
    folder.write("0.weights", [b"weights"])
    heard.next().peer.assign([assignment(7)])
    north.say(chunk=chunk(name))
    north.say(result=answer(7, out=name))
    damage = heard.next().damage
    assert "is no output of work 7" in damage or "did not come before the result" in damage
    assert folder.names() == ["0.weights"]
    assert bytes(folder.read("0.weights")) == b"weights"


def test_a_value_that_is_counted_cannot_be_changed_after_it(
    north: RawWorker, heard: Recorder, folder: SharedFolder
) -> None:
    heard.next().peer.assign([assignment(7), assignment(8)])
    north.say(chunk=chunk("7.out", b"first"))
    north.say(result=answer(7, out="7.out"))
    assert heard.next().damage == ""
    north.say(chunk=chunk("7.out", b"later"))
    north.say(result=answer(7, out="7.out"))
    north.say(result=answer(8))
    assert heard.next().result.attempt.work_id == 8
    assert bytes(folder.read("7.out")) == b"first"


def test_what_a_result_does_not_name_is_let_go(north: RawWorker, heard: Recorder, folder: SharedFolder) -> None:
    heard.next().peer.assign([assignment(7), assignment(8)])
    for name in ("7.out", "7.more", "8.out"):
        north.say(chunk=chunk(name))
    north.say(result=answer(7, out="7.out"))
    failed = pb.Result(attempt=pb.Attempt(work_id=8, attempt=1), outputs={"out": "8.out"}, failure=pb.Failure())
    north.say(result=failed)
    assert [heard.next().damage for _ in range(2)] == ["", ""]
    assert folder.names() == ["7.out"]


def test_a_site_cannot_fill_the_memory(north: RawWorker, heard: Recorder, folder: SharedFolder) -> None:
    heard.next().peer.assign([assignment(7), assignment(8)])
    north.say(chunk=chunk("7.out", size_bytes=LEAST_BYTES + 1))
    north.say(result=answer(7, out="7.out"))
    assert "larger than the 17 MB that it may send" in heard.next().damage
    for number in range(100):
        north.say(chunk=chunk(f"8.{number}"))
    north.say(result=answer(8, out="8.99"))
    assert "work 8 has more than 64 outputs" in heard.next().damage
    assert folder.names() == []


def test_a_message_that_is_too_large_ends_its_stream_and_nothing_else(
    north: RawWorker, server: SessionServer, heard: Recorder, certificates: Path
) -> None:
    heard.next()
    with raw_worker(
        NOBODY, channel_of(server.sites_at, certificates, certificates / "site-south"), **{**SITE, "worker": "south"}
    ) as south:
        south.welcome()
        peer = heard.next().peer
        north.say(chunk=chunk("7.out", bytes(5 << 20)))
        assert north.hear() is None
        peer.assign([assignment(1)])
        south.hear()
        south.say(result=answer(1))
        assert heard.next().result.attempt.work_id == 1


def test_a_result_that_is_too_large_counts_as_damaged(north: RawWorker, heard: Recorder) -> None:
    heard.next().peer.assign([assignment(7)])
    result = answer(7)
    result.failure.traceback = "x" * 300_000
    north.say(result=result)
    assert "the result itself has 300," in heard.next().damage


def test_messages_without_sense_are_passed_over_until_there_are_too_many(
    north: RawWorker, server: SessionServer, heard: Recorder
) -> None:
    heard.next().peer.assign([assignment(7)])
    nonsense: list[dict[str, Any]] = [
        {"hello": pb.Hello(worker="south")},
        {},
        {"result": answer(99)},
        {"chunk": chunk("99.out")},
        {"epoch": 12345, "result": answer(7)},
    ]
    for message in nonsense:
        north.say(**message)
    north.say(result=answer(7))
    assert heard.next().result == answer(7)
    assert server.foreign == 1
    for _ in range(SENSELESS):
        north.say(result=answer(99))
    assert north.hear() is not None  # the assignment of the beginning
    assert north.hear() is None


def test_a_site_gets_no_memory_of_the_engines_by_knowing_its_token(
    server: SessionServer, heard: Recorder, folder: SharedFolder, certificates: Path
) -> None:
    token = (folder.path / ".host-token").read_bytes()
    channel = channel_of(server.sites_at, certificates, certificates / "site-north")
    with raw_worker(NOBODY, channel, **SITE, host_token=token) as worker:
        worker.welcome()
        assert not heard.next().peer.shares
