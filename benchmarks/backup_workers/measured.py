"""One cell, measured: times to the target by seed, of every policy; kept in a file, so that one can go on later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import fmean, median
from tempfile import gettempdir
from typing import Any

from benchmarks.backup_workers.cells import MOVING, STATIONARY, Group, setting
from benchmarks.backup_workers.virtual_training import WORKERS, Run, train
from orchestrator.protocols import Quorum
from orchestrator.quorum import make_quorum

POLICIES = ("dynamic", "dbw", "rate", "adasync")
RESAMPLES = 2_000  # of seeds, for the intervals
ROOT = Path(__file__).parent.parent.parent
KEPT = Path(gettempdir()) / "ripieno-backup-workers"
MADE_BY = (
    "orchestrator/quorum/*.py",
    *(f"benchmarks/backup_workers/{name}.py" for name in ("cells", "virtual_training")),
)
"""The code that a cell's figures come from: they are forgotten when it changes."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Times to the target in mean round trips of a normal worker, a list with one a seed: `static` by k, `runs` by
    policy, with the mean k of each."""

    group: Group
    round_trips: str
    static: Mapping[int, Sequence[float]]
    runs: Mapping[str, Sequence[Run]]

    @property
    def best_k(self) -> int:
        """Of the lowest median, which nobody knows beforehand."""
        return min(self.static, key=lambda k: median(self.static[k]))

    @property
    def best(self) -> float:
        return median(self.static[self.best_k])

    @property
    def full(self) -> float:
        return median(self.static[WORKERS])

    def took(self, policy: str) -> float:
        return median(self._times(policy))

    @property
    def ratio(self) -> float:
        """Of `dynamic` to the best static k."""
        return self.took("dynamic") / self.best

    def _times(self, policy: str) -> Sequence[float]:
        return [run.took_s for run in self.runs[policy]]

    def interval(self) -> tuple[float, float]:
        """95 % of the ratio, by drawing seeds again."""
        random = Random(f"{self.group.name} {self.round_trips}")
        dynamic, static = self._times("dynamic"), self.static[self.best_k]
        seeds = range(len(dynamic))
        ratios = []
        for _ in range(RESAMPLES):
            drawn = random.choices(seeds, k=len(seeds))
            ratios.append(median(dynamic[seed] for seed in drawn) / median(static[seed] for seed in drawn))
        ratios.sort()
        return ratios[RESAMPLES // 40], ratios[-RESAMPLES // 40]

    def row(self) -> dict[str, Any]:
        low, high = self.interval()
        return {
            "setting": self.group.name,
            "round trips": self.round_trips,
            "best k": self.best_k,
            "best static": self.best,
            "full": self.full,
            **{policy: self.took(policy) for policy in POLICIES},
            "ratio": self.ratio,
            "95 %": f"{low:.2f} to {high:.2f}",
            "mean k": fmean(run.mean_k for run in self.runs["dynamic"]),
            "seeds": len(self.runs["dynamic"]),
        }

    def static_row(self) -> dict[str, Any]:
        by_k = {f"k={k}": median(times) for k, times in self.static.items()}
        return {"setting": self.group.name, "round trips": self.round_trips, **by_k}


def measured(group: Group, round_trips: str, ks: Sequence[int], seeds: Sequence[int]) -> Cell:
    """As kept, if the code has not changed since."""
    key = sha256(json.dumps([_code(), asdict(group), round_trips, list(ks), list(seeds)]).encode()).hexdigest()
    file = KEPT / f"{key[:32]}.json"
    if not file.exists():
        KEPT.mkdir(exist_ok=True)
        file.write_text(json.dumps(_measure(group, round_trips, ks, seeds)), encoding="utf-8")
    kept = json.loads(file.read_text(encoding="utf-8"))
    return Cell(
        group,
        round_trips,
        {int(k): times for k, times in kept["static"].items()},
        {policy: [Run(*run) for run in runs] for policy, runs in kept["runs"].items()},
    )


def _measure(group: Group, round_trips: str, ks: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    latency = {**STATIONARY, **MOVING}[round_trips]

    def runs(quorum: Quorum) -> list[Run]:
        return [train(setting(group.name), latency, quorum, seed) for seed in seeds]

    return {
        "static": {k: [run.took_s for run in runs(make_quorum("static", k=k))] for k in ks},
        "runs": {policy: [(run.took_s, run.mean_k) for run in runs(make_quorum(policy))] for policy in POLICIES},
    }


@cache
def _code() -> str:
    digest = sha256()
    for pattern in MADE_BY:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()
