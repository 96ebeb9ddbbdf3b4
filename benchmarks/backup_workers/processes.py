"""With real processes: wall-clock time until the training loss is down, four local workers, two ways to be late.

A gradient sleeps for a while, as if an accelerator computed it, so that workers do not wait for each other's cores.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from torch import Tensor, nn

from benchmarks.harness import Report, Target
from cluster.launchers import LocalProcesses
from cluster.shared_memory import SharedFolder
from orchestrator.journal.records import Started
from orchestrator.lifecycle import start
from orchestrator.pools.remote import RemotePool
from orchestrator.records import Actions, Wake
from orchestrator.spec import Spec
from orchestrator.workers import open_pool_of
from tests.support.digits_task import Digits

WORKERS = 4
GRADIENT_S = 0.04
TARGET = 0.4  # of the loss, mean over the last WINDOW samples that counted
WINDOW = 1_200
QUORUMS: Mapping[str, Any] = {"full": "full", "dynamic": "dynamic", "k=3": {"static": {"k": 3}}}
CASES: Mapping[str, tuple[Mapping[str, Any], float]] = {
    "one of four five times slower": ({"slow": {"worker": 3, "factor": 5.0}}, 2.5),
    "Pareto 1.5 for all, mean 0.2 s": ({"delay": {"pareto": 1.5, "mean_s": 0.2}}, 1.5),
}
"""What is injected, and how many times faster than full `dynamic` is to be."""


class Accelerated(Digits):
    """The digits, on a device that takes GRADIENT_S for a gradient."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        time.sleep(GRADIENT_S)
        return super().loss(model, batch)


class Arrival:
    """Watches a run for its loss, and stops it at the target. took_s: since its first step, None until it arrived."""

    def __init__(self) -> None:
        self.took_s: float | None = None
        self.waited_for: list[float] = []
        self._first_s: float | None = None
        self._losses: list[tuple[float, float]] = []  # of a step, and of how many samples

    def seen(self, wake: Wake, actions: Actions) -> None:
        for row in actions.rows:
            if "waited_for" not in row.metrics or self.took_s is not None:
                continue
            now_s = time.perf_counter()
            self._first_s = self._first_s or now_s
            self.waited_for.append(row.metrics["waited_for"])
            self._losses.append((row.metrics["loss"], row.metrics["samples"]))
            while sum(samples for _, samples in self._losses[1:]) >= WINDOW:
                del self._losses[0]
            total = sum(samples for _, samples in self._losses)
            if total >= WINDOW and sum(loss * samples for loss, samples in self._losses) / total <= TARGET:
                self.took_s = now_s - self._first_s

    def __call__(self) -> bool:
        return self.took_s is not None

    def notify(self, callback: Callable[[], None]) -> None:
        """The loop looks for itself."""


def wall_clock(report: Report, *, quick: bool) -> None:
    """quick: one seed instead of five."""
    seeds = range(1 if quick else 5)
    for case, (inject, target) in CASES.items():
        took = {name: [_run(quorum, inject, seed) for seed in seeds] for name, quorum in QUORUMS.items()}
        seconds = {name: [arrival.took_s or float("nan") for arrival in arrivals] for name, arrivals in took.items()}
        ratios = sorted(full / dynamic for full, dynamic in zip(seconds["full"], seconds["dynamic"], strict=True))
        report.rows.append(
            {
                "processes": case,
                **{f"{name}, s": median(each) for name, each in seconds.items()},
                "mean k": fmean(_mean_k(took["dynamic"])),
                "full / dynamic": median(ratios),
                "least and most": f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
                "seeds": len(seeds),
            }
        )
        report.targets.append(Target(f"full / `dynamic`, wall-clock, {case}", median(ratios), target, "higher"))


def _mean_k(arrivals: Sequence[Arrival]) -> Sequence[float]:
    return [fmean(arrival.waited_for) for arrival in arrivals]


def _run(quorum: Any, inject: Mapping[str, Any], seed: int) -> Arrival:
    arrival = Arrival()
    with tempfile.TemporaryDirectory() as state:
        spec = Spec.model_validate(
            {
                "task": "benchmarks.backup_workers.processes:Accelerated",
                "seed": seed,
                "train": {
                    "workers": WORKERS,
                    "min_workers": WORKERS,
                    "batch_size": 30,
                    "quorum": quorum,
                    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
                    "epochs": 100.0,
                    "evaluate_every": {"rounds": 1_000_000},
                },
                "inject": inject,
                "tracking": {"enabled": False},
                "state": str(Path(state)),
            }
        )
        start(spec, open_pool=_open, observers=[arrival], stop=arrival)
    return arrival


def _open(started: Started, spec: Spec, values: SharedFolder) -> RemotePool:
    return open_pool_of(started, spec, values, LocalProcesses())
