"""`dynamic` against the best static k: tables A and F of the sheet on dynamic backup workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, median
from typing import Any

from benchmarks.harness import Target
from benchmarks.sheets.perceptron import Perceptron
from benchmarks.sheets.virtual_training import WORKERS, Run, Setting, train
from orchestrator.pools.latency import Change, Latency, Pareto, ShiftedExponential, Uniform
from orchestrator.quorum import make_quorum
from tests.unit.quorum.digits import digits

SEEDS, QUICK_SEEDS = 15, 3
RESAMPLES = 2_000  # of seeds, for the intervals
EVEN = Uniform(0.999_999, 1.000_001)  # equal, but never at the same instant

ROUND_TRIPS: Mapping[str, Latency] = {
    "const": Latency(EVEN),
    "α=0.2": Latency(ShiftedExponential(0.2)),
    "α=0.7": Latency(ShiftedExponential(0.7)),
    "α=1.0": Latency(ShiftedExponential(1.0)),
    "Pareto": Latency(Pareto(1.5)),
    "slow4": Latency(EVEN, factors=dict.fromkeys(range(4), 5.0)),
    "half": Latency(ShiftedExponential(0.2), changes=[Change(40.0, frozenset(range(8)), 5.0)]),
}


def rows(quick: bool) -> tuple[list[dict[str, Any]], list[Target]]:
    """A row for each cell of both tables, with what the sheet found there as its target.

    Times are medians over seeds, in mean round trips of a normal worker. quick: three seeds, and of the static k only
    the sheet's best, its neighbours and all.
    """
    cells = [_measured(table, name, quick) for table in tables() for name in table.cells]
    return [cell.row() for cell in cells], [cell.target() for cell in cells]


@dataclass(frozen=True, slots=True)
class Table:
    """One of the sheet's. cells: by round trips, its best static time, the k of that, and its time of `dynamic`.

    ks: the static k to try. seeds: how many it took its medians of.
    """

    name: str
    setting: Setting
    ks: Sequence[int]
    seeds: int
    cells: Mapping[str, tuple[float, int, float]]


def tables() -> Sequence[Table]:
    """A: logistic regression in small batches, where noise matters. F: a perceptron in large ones, η in proportion."""
    softmax = digits(batch=4)
    perceptron = Perceptron(softmax.images, softmax.digits, batch=128, hidden=32)
    return (
        Table(
            "A",
            Setting(softmax, learning_rate=8.0, proportional=False, target=0.10),
            (1, 2, 4, 6, 8, 10, 12, 14, 16),
            7,
            {
                "const": (107, 16, 107),
                "α=0.2": (127, 10, 130),
                "α=0.7": (125, 6, 123),
                "α=1.0": (106, 4, 113),
                "Pareto": (97, 6, 97),
                "slow4": (120, 12, 120),
                "half": (146, 6, 173),
            },
        ),
        Table(
            "F",
            Setting(perceptron, learning_rate=1.0, proportional=True, target=0.10),
            (4, 6, 8, 10, 12, 14, 16),
            5,
            {
                "const": (103, 16, 103),
                "α=0.7": (199, 12, 202),
                "Pareto": (175, 10, 173),
                "slow4": (148, 12, 147),
                "half": (265, 8, 276),
            },
        ),
    )


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table, measured: times by seed, of each static k and of `dynamic`."""

    table: Table
    name: str
    static: Mapping[int, Sequence[float]]
    dynamic: Sequence[Run]

    @property
    def best_k(self) -> int:
        """Of the lowest median, which nobody knows beforehand."""
        return min(self.static, key=lambda k: median(self.static[k]))

    @property
    def ratio(self) -> float:
        return median(self._times) / median(self.static[self.best_k])

    @property
    def sheet_ratio(self) -> float:
        static, _, dynamic = self.table.cells[self.name]
        return dynamic / static

    @property
    def _times(self) -> Sequence[float]:
        return [run.took_s for run in self.dynamic]

    def ratios(self, seeds: int) -> tuple[float, float]:
        """95 % interval of the ratio of two medians of so many seeds, by drawing from those that there are."""
        random = Random(f"{self.table.name} {self.name}")
        best = self.static[self.best_k]
        drawn = sorted(
            median(random.choices(self._times, k=seeds)) / median(random.choices(best, k=seeds))
            for _ in range(RESAMPLES)
        )
        return drawn[RESAMPLES // 40], drawn[-RESAMPLES // 40]

    def row(self) -> dict[str, Any]:
        static, k, dynamic = self.table.cells[self.name]
        low, high = self.ratios(len(self.dynamic))
        return {
            "table": self.table.name,
            "round trips": self.name,
            "k": self.best_k,
            "best static": median(self.static[self.best_k]),
            "full": median(self.static[WORKERS]),
            "dynamic": median(self._times),
            "mean k": fmean(run.mean_k for run in self.dynamic),
            "ratio": self.ratio,
            "95 %": f"{low:.2f} to {high:.2f}",
            "sheet k": k,
            "sheet best": static,
            "sheet dynamic": dynamic,
            "sheet ratio": self.sheet_ratio,
            "seeds": len(self.dynamic),
        }

    def target(self) -> Target:
        """At most the sheet's ratio and its spread: what a median of as many seeds as the sheet's varies by."""
        low, high = self.ratios(self.table.seeds)
        name = (
            f"{self.table.name}, {self.name}: time of `dynamic` / of the best static k, to the sheet's and its spread"
        )
        return Target(name, self.ratio, self.sheet_ratio + (high - low) / 2, "lower")


def _measured(table: Table, name: str, quick: bool) -> Cell:
    seeds = range(QUICK_SEEDS if quick else SEEDS)
    latency = ROUND_TRIPS[name]
    at = table.ks.index(table.cells[name][1])
    ks = sorted({*table.ks[max(0, at - 1) : at + 2], WORKERS}) if quick else table.ks
    static = {k: [train(table.setting, latency, make_quorum("static", k=k), seed).took_s for seed in seeds] for k in ks}
    dynamic = make_quorum("dynamic")
    return Cell(table, name, static, [train(table.setting, latency, dynamic, seed) for seed in seeds])
