"""What is measured in virtual time: settings A to F of the sheet, a CNN on Fashion-MNIST, cells whose best k moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from benchmarks.backup_workers.fashion import Cnn
from benchmarks.backup_workers.perceptron import Perceptron
from benchmarks.backup_workers.virtual_training import Setting
from orchestrator.pools.latency import Change, Latency, Pareto, ShiftedExponential, Uniform
from tests.unit.quorum.digits import digits

EVEN = Uniform(0.999_999, 1.000_001)  # equal, but never at the same instant

STATIONARY: Mapping[str, Latency] = {
    "const": Latency(EVEN),
    "α=0.2": Latency(ShiftedExponential(0.2)),
    "α=0.7": Latency(ShiftedExponential(0.7)),
    "α=1.0": Latency(ShiftedExponential(1.0)),
    "Pareto": Latency(Pareto(1.5)),
    "slow4": Latency(EVEN, factors=dict.fromkeys(range(4), 5.0)),
}

MOVING: Mapping[str, Latency] = {
    "half": Latency(ShiftedExponential(0.2), changes=[Change(40.0, frozenset(range(8)), 5.0)]),
    "tide": Latency(
        ShiftedExponential(0.2),
        changes=[
            Change(20.0, frozenset(range(4)), 5.0),
            Change(50.0, frozenset(range(10)), 5.0),
            Change(90.0, frozenset(range(4, 10)), 1.0),
            Change(120.0, frozenset(range(4)), 1.0),
        ],
    ),
}
"""half: 8 of 16 become five times slower at time 40. tide: first 4 are, then 10, then 4, at last none."""


@dataclass(frozen=True, slots=True)
class Group:
    """A setting under some round trips. ks: the static k to try. what: for people."""

    name: str
    what: str
    ks: Sequence[int]
    round_trips: Sequence[str]


SHEETS = (*STATIONARY, "half")
GROUPS = (
    Group("A", "softmax on digits, η = 8, batches of 4", (2, 3, 4, 5, 6, 8, 10, 12, 14, 16), SHEETS),
    Group("B", "as A, η = 8 k/16", (4, 6, 8, 9, 10, 11, 12, 13, 14, 16), (*SHEETS, "tide")),
    Group("C", "softmax, η = 4, batches of 32", (1, 2, 3, 4, 6, 8, 12, 16), SHEETS),
    Group("D", "perceptron, η = 0.5, batches of 4", (1, 2, 3, 4, 6, 8, 12, 16), SHEETS),
    Group("E", "perceptron, η = 1, batches of 128", (1, 2, 4, 6, 8, 12, 16), SHEETS),
    Group("F", "as E, η = k/16", (4, 6, 8, 10, 11, 12, 13, 14, 16), (*SHEETS, "tide")),
    Group("noise", "as A, to a loss of 0.06", (4, 6, 8, 10, 12, 14, 16), ("α=0.7",)),
    Group("CNN", "Fashion-MNIST, momentum 0.9", (1, 2, 4, 6, 8, 12, 16), ("α=0.7", "Pareto", "slow4")),
)
"""Smaller k than these are far behind in the sheet's tables and would take most of the time."""


@cache
def setting(name: str) -> Setting:
    """What a group of that name trains; the last figure is its target."""
    if name == "CNN":
        return Setting(Cnn(), 0.02, False, 0.65, momentum=0.9, check_every=4, limit_s=600.0)
    softmax = digits(batch=32 if name == "C" else 4)
    batch = 4 if name == "D" else 128
    perceptron = Perceptron(softmax.images, softmax.digits, batch=batch, hidden=32)
    return {
        "A": Setting(softmax, 8.0, False, 0.10, limit_s=1_500.0),
        "B": Setting(softmax, 8.0, True, 0.10, limit_s=1_500.0),
        "C": Setting(softmax, 4.0, False, 0.15, limit_s=1_500.0),
        "D": Setting(perceptron, 0.5, False, 0.10, limit_s=1_500.0),
        "E": Setting(perceptron, 1.0, False, 0.10, limit_s=1_500.0),
        "F": Setting(perceptron, 1.0, True, 0.10, limit_s=1_500.0),
        "noise": Setting(softmax, 8.0, False, 0.06, limit_s=1_500.0),
    }[name]
