"""Whole runs of the small real task, on pools that need no process of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.shared_memory import SharedFolder
from orchestrator.journal.records import Started
from orchestrator.lifecycle import OpenPool
from orchestrator.local import Local
from orchestrator.pools.inline import InlinePool
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.protocols import Pool
from orchestrator.records import Actions, Wake
from orchestrator.spec import Spec
from orchestrator.values.shared import SharedValues


def digits_spec(state: Path, **train: Any) -> Spec:
    """Two epochs of the digits on four workers, untracked; train: what is to be otherwise."""
    settings: dict[str, Any] = {
        "workers": 4,
        "batch_size": 50,
        "quorum": "full",
        "epochs": 2,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        **train,
    }
    return Spec.model_validate(
        {
            "task": "tests.support.digits_task:Digits",
            "train": settings,
            "state": str(state),
            "tracking": {"enabled": False},
        }
    )


def inline(started: Started, spec: Spec, values: SharedFolder) -> Pool:
    return InlinePool(spec.section.most_workers, Local(spec, started.paths).execute(SharedValues(values)))


def virtual(faults: Faults | None = None) -> OpenPool:
    """One of the workers is five times slower."""
    latency = Latency(
        ShiftedExponential(0.7),
        factors={3: 5.0},
        by_kind={"aggregate": Constant(0.01), "evaluate": Constant(0.05), "init": Constant(0.1)},
    )

    def open_pool(started: Started, spec: Spec, values: SharedFolder) -> Pool:
        execute = Local(spec, started.paths).execute(SharedValues(values))
        return VirtualPool(spec.section.most_workers, execute, seed=spec.seed, latency=latency, faults=faults)

    return open_pool


class StopAfter:
    """Asks the run to stop after so many wakes, as a signal would."""

    def __init__(self, wakes: int) -> None:
        self.left = wakes

    def __call__(self) -> bool:
        return self.left <= 0

    def notify(self, callback: object) -> None:
        pass

    def seen(self, wake: Wake, actions: Actions) -> None:
        self.left -= 1
