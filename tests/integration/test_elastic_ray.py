"""A run on a Ray cluster whose nodes come and go: it grows, loses a node, finds room elsewhere, and loses no step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import NoPlace
from orchestrator.lifecycle import resume, start
from orchestrator.records import AGGREGATOR, Actions, Cause, Counts, Joined, Left, Wake
from orchestrator.spec import Spec
from orchestrator.verify import replay
from orchestrator.workers import on_ray

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
AGGREGATOR_0, WORKERS = f"{AGGREGATOR}-0", ("worker-0", "worker-1", "worker-2")
QUICK_TO_NOTICE = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


@pytest.fixture
def paced(tmp_path: Path) -> Path:
    """While it is there, gradients take a while; see PacedDigits."""
    path = tmp_path / "paced"
    path.touch()
    return path


@pytest.fixture
def cluster(paced: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that has no room for anybody, and notices a lost node within two seconds."""
    from ray.cluster_utils import Cluster

    for name, value in {**QUICK_TO_NOTICE, "PACED_WHILE": str(paced)}.items():
        monkeypatch.setenv(name, value)
    head = {"num_cpus": 0, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()


class Fate:
    """What happens to a run, step by step, each as soon as the one before has had its effect.

    acts: (what must be so, what is done then). rounds: closed since the act before.
    """

    def __init__(self, acts: list[tuple[Callable[[Fate], bool], Callable[[], object]]]) -> None:
        self.acts = acts
        self.rounds = 0
        self.present: set[str] = set()
        self.used: set[str] = set()  # workers whose gradients were, since then
        self.went: list[Left] = []

    def seen(self, wake: Wake, actions: Actions) -> None:
        for event in wake.events:
            if isinstance(event, Joined):
                self.present.add(event.worker)
            elif isinstance(event, Left):
                self.present.discard(event.worker)
                self.went.append(event)
        self.rounds += len(actions.closed)
        self.used.update(told.result.worker for told in actions.told if told.work.counts is Counts.QUORUM)
        if self.acts and self.acts[0][0](self):
            _, act = self.acts.pop(0)
            act()
            self.rounds, self.used = 0, set()


def spec_of(folder: Path, epochs: int) -> Spec:
    return Spec.model_validate(
        {
            "task": "tests.support.digits_task:PacedDigits",
            "train": {
                "workers": {"min": 1, "max": 3},
                "batch_size": 50,
                "quorum": "full",
                "epochs": epochs,
                "evaluate_every": {"epochs": epochs},
            },
            "state": str(folder / "runs"),
            "tracking": {"enabled": False},
        }
    )


def test_a_run_that_finds_no_room_can_be_resumed_when_there_is_some(
    cluster: Any, paced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paced.unlink()
    on_cluster = on_ray(cluster.address)
    with monkeypatch.context() as impatient:
        impatient.setattr("cluster.launchers.on_ray.READY_S", 0.5)
        with pytest.raises(NoPlace, match=r"not free within 0\.5 s.*`ripieno resume r`"):
            start(spec_of(tmp_path, epochs=1), open_pool=on_cluster, name="r")
    cluster.add_node(num_cpus=2, object_store_memory=100 << 20)
    outcome = resume(tmp_path / "runs" / "r", open_pool=on_cluster)
    assert outcome.outcome == "done", outcome.reason


def test_a_run_grows_loses_a_node_finds_room_elsewhere_and_ends_with_the_bits_of_its_replay(
    cluster: Any, paced: Path, tmp_path: Path
) -> None:
    """The second node is full when the first goes: what the run cannot do without takes room from what it can."""

    def add_node(cpus: int) -> Any:
        return cluster.add_node(num_cpus=cpus, object_store_memory=100 << 20)

    first = add_node(2)
    fate = Fate(
        [
            (lambda run: run.present == {AGGREGATOR_0, "worker-0"} and run.rounds >= 3, lambda: add_node(2)),
            (lambda run: run.used == {*WORKERS}, lambda: cluster.remove_node(first, allow_graceful=False)),
            (lambda run: run.present == {AGGREGATOR_0, "worker-0"} and run.rounds >= 3, lambda: add_node(2)),
            (lambda run: run.used == {*WORKERS}, paced.unlink),
        ]
    )
    outcome = start(spec_of(tmp_path, epochs=60), open_pool=on_ray(cluster.address), observers=[fate])
    assert not fate.acts, "the run ended before its fate was fulfilled"
    lost = [left for left in fate.went if left.cause is Cause.LOST_NODE]
    assert sorted(left.worker for left in lost) == [AGGREGATOR_0, "worker-0"]
    made_room = {left.worker for left in fate.went if left not in lost}
    assert made_room == {"worker-1", "worker-2"}
    assert outcome.outcome == "done", outcome.reason
    again = replay(outcome.folder)
    assert again.same
    assert again.weights_sha256 == outcome.weights_sha256 != ""
