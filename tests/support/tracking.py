"""Runs to be tracked: a small real one on the virtual pool, and as many plain rounds as wanted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run

from orchestrator.core import Core
from orchestrator.journal.records import Started
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.quorum import make_quorum
from orchestrator.records import Actions, Closed, Json, Ref, Row, Wake, Work
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
from orchestrator.tracking import Tracker
from orchestrator.tracking.entries import Gleaner
from orchestrator.tracking.names import SYSTEM
from orchestrator.tracking.points import Point, points

T = TypeVar("T")
History: TypeAlias = list[tuple[Wake, Actions]]
STARTED_MS = 1_700_000_000_000
SPEC: Json = {
    "task": "a:B",
    "train": {"quorum": {"static": {"k": 3}}, "optimizer": {"name": "sgd", "lr": 0.05}},
    "storage": "s3://key:secret@bucket",
}
SAMPLES = {"train_samples": 240.0, "validation_samples": 500.0, "test_samples": 700.0}


def started(run: str = "r-1") -> Started:
    code = "0.1.0 0123456789abcdef0123456789abcdef01234567-dirty"
    return Started(run, SPEC, "5bec", code, {"machine": "x86_64", "torch": "2.13"}, 7, "2023-11-14T22:13:20+00:00")


def answer(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
    """Figures of the right names for each kind of `SyncTraining`'s work, and references to nothing."""
    outputs, metrics = {
        "init": (("weights", "optimizer"), SAMPLES),
        "gradient": (("gradient",), {"loss": 1 / (1 + work.round), "norm2": 1.0, "samples": 10.0}),
        "aggregate": (("weights", "optimizer"), {"norm2": 1.0, "learning_rate": 0.1}),
        "evaluate": ((), {"loss": 0.1, "accuracy": 0.9, "samples": 10.0}),
    }[work.kind]
    return {name: Ref(f"{work.id}.{name}") for name in outputs}, metrics


@cache
def training(seed: int, stormy: bool) -> History:
    """A whole `SyncTraining` run with a slow worker; stormy: and with crashes, lost replies and repeats."""
    settings = SyncTrainingSettings(
        batch_size=10, epochs=2, optimizer={"name": "sgd", "lr": 0.2}, evaluate_every={"rounds": 5}
    )
    core = Core(SyncTraining(settings), make_quorum("static", k=3), seed=seed)
    latency = Latency(ShiftedExponential(0.7), factors={3: 5.0}, by_kind={"aggregate": Constant(0.01)})
    faults = Faults(crash=0.05, back_s=1.5, lost=0.01, lost_after_s=4.0, duplicate=0.1) if stormy else Faults()
    pool = VirtualPool(4, answer, seed=seed, latency=latency, faults=faults)
    history: list[tuple[Wake, Actions]] = []
    while not core.finished:
        wake = pool.wait(core.deadline_s)
        actions = core.handle(wake)
        pool.cancel(actions.cancel)
        pool.submit(actions.submit)
        history.append((wake, actions))
    return history


def plain_rounds(first: int, last: int) -> History:
    """Rounds first to last, a wake each, ten a second, with one figure of its own."""
    return [
        (
            Wake(step / 10, ()),
            Actions((), (), rows=[Row(step, {"loss": 1 / step})]),
        )
        for step in range(first, last + 1)
    ]


def track(tracker: Tracker, history: History) -> None:
    """Shows it all of it, as the driver does."""
    for wake, actions in history:
        tracker.seen(wake, actions)


def points_of(history: History) -> Iterator[Point]:
    """What MLflow should have of it."""
    gleaner = Gleaner()
    for wake, actions in history:
        entry = gleaner.glean(wake, actions)
        if entry is not None:
            yield from points(entry, STARTED_MS)


def stored_points(client: MlflowClient, run_id: str) -> list[Point]:
    """What MLflow has of the run, sorted; not of the machine that it ran on."""
    keys = [key for key in client.get_run(run_id).data.metrics if not key.startswith(SYSTEM)]
    return sorted(
        Point(metric.key, metric.value, metric.timestamp, metric.step)
        for key in keys
        for metric in client.get_metric_history(run_id, key)
    )


def sqlite_uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def closed_round(number: int, opened_s: float, closed_s: float) -> Closed:
    """Three of four results."""
    return Closed(number, opened_s, closed_s, closed_s, wait_for=3, eligible=4, present=4, arrived=3)


def only_run(client: MlflowClient, experiment: str) -> Run:
    """The one run of an experiment."""
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    return run


def until(condition: Callable[[], T], timeout_s: float) -> T:
    """Waits until it is true of a process that nobody can be told of, and returns what it gave."""
    deadline_s = time.monotonic() + timeout_s
    while not (given := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s"
        time.sleep(0.05)
    return given
