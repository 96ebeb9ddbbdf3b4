"""What a site says, as the engine comes to hear of it: no garbage of one site's reaches a round, or another site."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from threading import Thread
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.sessions import Door, WorkerSession
from orchestrator.records import Assignment, Cause, Joined, Left, Place, Ref, Result, Work
from orchestrator.worker import answers
from protos import ripieno_pb2 as pb
from tests.contract.test_pools import History
from tests.support.remote import OwnedPool
from tests.support.remote_worker import simple
from tests.support.sessions import RawWorker, raw_worker
from tests.support.sites import authority, channel_of, door_of, listed

NOBODY = Door(run="", secret="", socket="", folder="")


class Served:
    """A pool that serves sites: north, spoken by hand, and south, which does what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.certificates = authority(folder / "authority", "north", "south")
        self.pool = OwnedPool(folder / "shared", sites=listed(self.certificates, "north", "south"), heartbeat_s=30.0)
        self.history = History(self.pool)
        self.south = WorkerSession(door_of(self.certificates, "south", self.pool.sites_at, folder / "memory"), "south")
        self.working = Thread(target=self._work)
        self.working.start()
        self.next_id = 0

    def _work(self) -> None:
        for _ in answers(self.south, simple(self.south.folder)):
            pass

    def north(self) -> Any:
        channel = channel_of(self.pool.sites_at, self.certificates, self.certificates / "site-north")
        return raw_worker(NOBODY, channel, run="", secret="", worker="north")

    def ask(self, worker: str) -> int:
        work = Work(self.next_id, 0, "noop", {}, {}, Place(worker))
        self.pool.submit([Assignment(work, worker, 1)])
        self.next_id += 1
        return work.id

    def result(self, work_id: int) -> Result:
        self.history.until(lambda: any(result.work_id == work_id for result in self.history.results))
        (result,) = [result for result in self.history.results if result.work_id == work_id]
        return result

    def close(self) -> None:
        self.pool.close()
        self.working.join(10)
        self.south.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Served]:
    place = Served(tmp_path)
    yield place
    place.close()


@pytest.fixture
def north(place: Served) -> Iterator[RawWorker]:
    with place.north() as worker:
        worker.welcome()
        place.history.until(lambda: set(place.history.free) == {"north", "south"})
        yield worker


def said(number: int, **changed: Any) -> pb.Result:
    return pb.Result(attempt=pb.Attempt(work_id=number, attempt=1), **changed)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"failure": pb.Failure(cause="whatever", message="m")}, "for a cause that nobody knows, 'whatever': m"),
        ({"failure": pb.Failure(cause="preempted", message="m")}, "preempted: m"),
        ({"failure": pb.Failure(cause="cancelled", message="m")}, "cancelled: m"),
        ({"failure": pb.Failure(cause="user error", message="m")}, "user error: m"),
        ({"metrics": {"loss": nan}}, "north's answer is refused: its loss is nan"),
        ({"metrics": {"loss": inf}}, "north's answer is refused: its loss is inf"),
        ({"outputs": {"out": "0.weights"}}, "value 0.weights is no output of work 1"),
    ],
    ids=["unknown cause", "preempted", "cancelled", "user error", "nan", "inf", "another's value"],
)
def test_what_a_site_should_not_have_said_is_a_bad_reply(
    place: Served, north: RawWorker, changed: dict[str, Any], reason: str
) -> None:
    place.pool.folder.write("0.weights", [b"weights"])
    place.next_id = 1
    north.say(result=said(place.ask("north"), **changed))
    result = place.result(1)
    assert result.failure is not None
    assert (result.failure.cause, result.outputs, result.metrics) == (Cause.BAD_REPLY, {}, {})
    assert reason in result.failure.message
    assert bytes(place.pool.folder.read("0.weights")) == b"weights"


@pytest.mark.parametrize("computed_s", [-1.0, nan, inf, 1e300])
def test_a_site_cannot_have_worked_longer_than_it_had_its_work(
    place: Served, north: RawWorker, computed_s: float
) -> None:
    north.say(result=said(place.ask("north"), computed_s=computed_s))
    assert 0.0 <= place.result(0).computed_s < 60.0


def test_cancelled_work_may_be_answered_so(place: Served, north: RawWorker) -> None:
    number = place.ask("north")
    place.pool.cancel([number])
    north.say(result=said(number, failure=pb.Failure(cause="cancelled", message="before it was begun")))
    failure = place.result(number).failure
    assert failure is not None
    assert failure.cause is Cause.CANCELLED


ids = st.integers(0, 40)
names = st.one_of(
    st.builds("{}.{}".format, ids, st.sampled_from(["out", "", "a/b", "..", "x" * 300])),
    st.sampled_from(["", ".", "given.start", ".host-token", ".sessions", "../../etc/passwd", "\0"]),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
)
failures = st.builds(pb.Failure, cause=st.sampled_from([*Cause, "", "?"]), message=st.text(max_size=5))
bodies: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda number, attempt, outputs, metrics, failure: {
            "result": pb.Result(
                attempt=pb.Attempt(work_id=number, attempt=attempt), outputs=outputs, metrics=metrics, failure=failure
            )
        },
        st.integers(1000, 2000),  # none that was given
        st.integers(0, 3),
        st.dictionaries(st.text(max_size=5), names, max_size=3),
        st.dictionaries(st.text(max_size=5), st.floats(), max_size=3),
        st.none() | failures,
    ),
    st.builds(
        lambda name, offset, size, data, sum_: {
            "chunk": pb.Chunk(name=name, offset=offset, size_bytes=size, data=data, crc32=sum_ or crc32(data))
        },
        names,
        st.sampled_from([0, 0, 1, 5, 2**63]),
        st.sampled_from([0, 1, 5, 2**40, 2**64 - 1]),
        st.binary(max_size=8),
        st.sampled_from([0, 1, 2**32 - 1]),
    ),
    st.just({"hello": pb.Hello(worker="south", role="aggregator", slots=7)}),
    st.just({"heartbeat": pb.Heartbeat()}),
    st.just({}),
)
messages = st.tuples(st.sampled_from(["own", "own", "own", 0, 1, 2**63]), bodies)


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = Served(tmp_path_factory.mktemp("sites"))
    yield place
    place.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(garbage=st.lists(messages, max_size=12))
def test_no_garbage_of_a_site_harms_its_own_work_or_anothers(shared_place: Served, garbage: list[Any]) -> None:
    place, seen = shared_place, len(shared_place.history.events)
    with place.north() as north:
        north.welcome()
        place.history.until(lambda: {"north", "south"} <= set(place.history.free))
        ours, theirs = place.ask("north"), place.ask("south")
        for epoch, body in garbage:
            if body.get("chunk", pb.Chunk()).name != f"{ours}.out":  # which would spoil its own work, rightly
                north.say(epoch=None if epoch == "own" else epoch, **body)
        north.say(
            chunk=pb.Chunk(name=f"{ours}.out", size_bytes=4, data=b"good", crc32=crc32(b"good")),
        )
        north.say(result=said(ours, outputs={"out": f"{ours}.out"}))
        for number, value in ((ours, b"good"), (theirs, b"noop")):
            result = place.result(number)
            assert result.failure is None
            assert result.outputs == {"out": Ref(f"{number}.out")}
            assert bytes(place.pool.folder.read(f"{number}.out")) == value
        north.say(goodbye=pb.Goodbye(reason="enough"))
        place.history.until(lambda: "north" not in place.history.free)
    kinds = [type(event) for event in place.history.events[seen:] if getattr(event, "worker", "") == "north"]
    assert kinds == [Joined, Result, Left]
    assert [
        name for name in place.pool.folder.names() if name.partition(".")[0] not in map(str, range(place.next_id))
    ] == []
    place.pool.folder.remove(place.pool.folder.names())


def test_a_site_that_answers_too_late_leaves_nothing_in_memory(place: Served, north: RawWorker) -> None:
    work = Work(0, 0, "noop", {}, {}, Place("north"), timeout_s=0.2)
    place.pool.submit([Assignment(work, "north", 1)])
    north.say(chunk=chunk("0.early"))
    failure = place.result(0).failure
    assert failure is not None
    assert failure.cause is Cause.TIMEOUT
    north.say(chunk=chunk("0.late"))
    north.say(result=said(0, outputs={"late": "0.late"}))
    place.next_id = 1
    asked = place.ask("north")
    north.say(result=said(asked))
    place.result(asked)
    assert place.pool.folder.names() == []


def chunk(name: str, data: bytes = b"value") -> pb.Chunk:
    return pb.Chunk(name=name, size_bytes=len(data), data=data, crc32=crc32(data))
