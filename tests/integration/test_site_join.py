"""`ripieno site join`: what a site does from its first word to its last, and what it says of it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from cluster.sessions import Address, Sites
from orchestrator.records import Assignment, Joined, Left, Place, Ref, Result, Work
from orchestrator.site import CannotJoin, NobodyThere, Site, TurnedAway, join
from orchestrator.worker import Training
from tests.contract.test_pools import History
from tests.support.remote import OwnedPool
from tests.support.remote_worker import until
from tests.support.site_task import OwnDigits
from tests.support.sites import HOST, authority, listed
from trainers.flat import FlatModel
from trainers.tensors import encode

OWN = "tests.support.site_task:OwnDigits"
UPDATE: dict[str, Any] = {
    "client": "north",
    "simulated": None,
    "epochs": 1,
    "batch_size": 10,
    "optimizer": {"name": "sgd", "lr": 0.1},
    "model": {},
}


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    return authority(tmp_path / "authority", "north", "stranger")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "samples").write_text("40")
    return folder


class Served:
    """A pool that sites dial in to, and which asks them for updates."""

    def __init__(self, folder: Path, certificates: Path, task: str = OWN, port: int = 0) -> None:
        settings = Training(task, seed=0).for_sites()
        identity = listed(certificates).identity
        sites = Sites(Address(HOST, port), identity, frozenset({"north"}), settings)
        shutil.rmtree(folder, ignore_errors=True)
        self.pool = OwnedPool(folder, sites=sites, heartbeat_s=5.0)
        self.history = History(self.pool)
        with torch.random.fork_rng():
            weights = FlatModel(OwnDigits().model(), torch.device("cpu")).weights()
        self.pool.folder.write("0.weights", encode(weights))

    def update(self, number: int) -> Result:
        """Of north, as soon as it is there."""
        self.history.until(lambda: "north" in self.history.free)
        work = Work(number, 1, "local_update", {"weights": Ref("0.weights")}, UPDATE, Place("north"))
        self.pool.submit([Assignment(work, "north", 1)])
        self.history.until(lambda: any(result.work_id == number for result in self.history.results))
        return next(result for result in self.history.results if result.work_id == number)


@pytest.fixture
def served(tmp_path: Path, certificates: Path) -> Iterator[Served]:
    served = Served(tmp_path / "shared", certificates)
    yield served
    served.pool.close()


class Joining:
    """A site at work in a thread. said: its sentences. error: what it ended with."""

    def __init__(self, site: Site) -> None:
        self.said: list[str] = []
        self.error: Exception | None = None
        self._thread = Thread(target=self._join, args=(site,), daemon=True)
        self._thread.start()

    def _join(self, site: Site) -> None:
        try:
            join(site, self.said.append)
        except Exception as error:
            self.error = error

    def end(self) -> Exception | None:
        self._thread.join(20)
        assert not self._thread.is_alive(), self.said
        return self.error


def site(served: Served, certificates: Path, data: Path, name: str = "north", **options: Any) -> Site:
    return Site(served.pool.sites_at, certificates / f"site-{name}", data, **{"once": True, **options})


def test_a_site_does_the_runs_work_on_its_own_data_and_leaves_when_it_is_over(
    served: Served, certificates: Path, data: Path
) -> None:
    joining = Joining(site(served, certificates, data))
    for number in (1, 2):
        result = served.update(number)
        assert (result.failure, result.metrics["samples"]) == (None, 40.0)
    served.pool.close()
    assert joining.end() is None
    first, *rounds, last = joining.said
    assert first == f"joined run r-test at {served.pool.sites_at} as north: {OWN}, data {data}"
    assert [line.partition(" in ")[0] for line in rounds] == ["round 1: local_update done"] * 2
    assert all(", samples 40, loss " in line for line in rounds)
    assert last == "left: the engine has ended"


def test_what_fails_is_said_on_both_sides(served: Served, certificates: Path, data: Path) -> None:
    (data / "samples").write_text("none")
    joining = Joining(site(served, certificates, data))
    failure = served.update(1).failure
    assert failure is not None
    assert "user error: ValueError: invalid literal for int()" in failure.message
    assert "site_task.py" in failure.traceback
    served.pool.close()
    joining.end()
    assert "round 1: local_update failed: ValueError: invalid literal" in joining.said[1]


def test_after_a_run_a_site_waits_for_the_next_one_at_the_address(
    tmp_path: Path, certificates: Path, data: Path
) -> None:
    first = Served(tmp_path / "first", certificates)
    address = Address.from_text(first.pool.sites_at)
    joining = Joining(site(first, certificates, data, once=False, patience_s=3.0))
    first.update(1)
    first.pool.close()
    until(lambda: "waits up to 3 s for it to go on, or for the next run" in joining.said[-1])
    second = Served(tmp_path / "second", certificates, port=address.port)
    assert second.update(1).failure is None
    second.pool.close()
    assert joining.end() is None
    assert joining.said[-1] == f"left: nobody was at {address} for 3 s"


@pytest.mark.parametrize(
    ("task", "options", "reason"),
    [
        (
            "tests.support.site_task:NoFolder",
            {},
            "has no attribute 'folder', so it cannot be told where this site's data",
        ),
        ("tests.support.site_task:Nothing", {}, "cannot be loaded here: TaskInvalid"),
        (OWN, {"task": "mine:Task"}, f"the run trains {OWN}, and this site was told to train mine:Task only"),
    ],
    ids=["no folder", "no task", "another task"],
)
def test_a_site_that_cannot_take_part_says_why_and_goes(
    tmp_path: Path, certificates: Path, data: Path, task: str, options: dict[str, Any], reason: str
) -> None:
    served = Served(tmp_path / "shared", certificates, task)
    joining = Joining(site(served, certificates, data, **options))
    served.history.until(lambda: any(isinstance(event, Left) for event in served.history.events))
    error = joining.end()
    assert isinstance(error, CannotJoin)
    assert reason in str(error)
    served.pool.close()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"address": "somewhere"}, "'somewhere' is no HOST:PORT"),
        ({"data": Path("/nowhere")}, "/nowhere: there are no such data; give --data the folder"),
        ({"certificates": Path("/nowhere")}, "/nowhere/ca.pem: cannot be read"),
        ({"device": "abacus"}, "--device abacus: torch has no such device here; give cpu, or cuda"),
        ({"task": "mine"}, "--task mine: write it as package.module:Class"),
        ({"address": "somewhere", "data": Path("/nowhere")}, "'somewhere' is no HOST:PORT.*\n/nowhere: there are no"),
    ],
    ids=["address", "data", "certificates", "device", "task", "two at once"],
)
def test_what_is_known_to_be_wrong_is_told_before_anybody_is_dialled(
    certificates: Path, data: Path, changed: dict[str, Any], reason: str
) -> None:
    given = {"address": f"{HOST}:1", "certificates": certificates / "site-north", "data": data, **changed}
    with pytest.raises(CannotJoin, match=reason):
        join(Site(**given), print)


def test_a_site_that_is_not_wanted_is_told_so(served: Served, certificates: Path, data: Path) -> None:
    error = Joining(site(served, certificates, data, "stranger")).end()
    assert isinstance(error, TurnedAway)
    assert "site 'stranger' is not on the list of this run" in str(error)


def test_of_two_processes_of_one_site_the_later_one_stays(served: Served, certificates: Path, data: Path) -> None:
    older = Joining(site(served, certificates, data, once=False))
    served.update(1)
    newer = Joining(site(served, certificates, data))
    error = older.end()
    assert isinstance(error, TurnedAway)
    assert "another process came as north" in str(error)
    served.history.until(lambda: [type(event) for event in served.history.events].count(Joined) == 2)
    assert served.update(2).failure is None
    served.pool.close()
    assert newer.end() is None


def test_a_site_gives_up_on_a_server_that_is_not_there(certificates: Path, data: Path) -> None:
    with socket.create_server((HOST, 0)) as free:
        address = f"{HOST}:{free.getsockname()[1]}"
    with pytest.raises(NobodyThere, match=r"let this site in for 0.3 s: .*Is the run up, with --serve"):
        join(Site(address, certificates / "site-north", data, patience_s=0.3), print)
