"""The cells that `dynamic` was developed on: none of the sheet's data, round trips, seeds or times of change.

`python -m benchmarks.backup_workers.development` measures them: dynamic against the best of some static k.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product
from statistics import NormalDist, median

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import StandardScaler

from benchmarks.backup_workers.perceptron import Perceptron
from benchmarks.backup_workers.virtual_training import Setting, train
from orchestrator.pools.latency import Change, Latency, Trace, Uniform
from orchestrator.protocols import Quorum
from orchestrator.quorum import make_quorum
from tests.unit.quorum.push_and_wait import Array, Softmax

SEEDS = range(1_000, 1_006)
LIMIT_S = 600.0
GRID = [(i + 0.5) / 2_000 for i in range(2_000)]
KS = (2, 4, 6, 8, 10, 11, 13, 16)
EVEN = Uniform(0.99, 1.01)


def lognormal(sigma: float) -> Trace:
    """Mean 1."""
    return Trace([float(np.exp(sigma * NormalDist().inv_cdf(u) - sigma**2 / 2)) for u in GRID])


def erlang(shape: int) -> Trace:
    """Gamma with a whole shape, mean 1."""
    random = np.random.default_rng(9)
    return Trace(sorted(random.gamma(shape, 1 / shape, 2_000).tolist()))


BIMODAL = Trace([0.7] * 17 + [2.7] * 3)
"""Each time anew, 15 % take 2.7 instead of 0.7."""

ROUND_TRIPS: Mapping[str, Latency] = {
    "even": Latency(EVEN),
    "lognormal": Latency(lognormal(1.0)),
    "gamma": Latency(erlang(2)),
    "bimodal": Latency(BIMODAL),
    "5 slow": Latency(lognormal(0.1), factors=dict.fromkeys(range(5), 3.5)),
    "6 slow down": Latency(lognormal(0.25), changes=[Change(25.0, frozenset(range(6)), 6.0)]),
    "gamma, 7 slow down": Latency(erlang(3), changes=[Change(30.0, frozenset(range(7)), 4.0)]),
    "come and go": Latency(
        lognormal(0.15),
        changes=[
            Change(20.0, frozenset(range(10)), 5.0),
            Change(80.0, frozenset(range(10)), 1.0),
            Change(80.0, frozenset(range(3)), 5.0),
        ],
    ),
}


def _scaled(samples: Array) -> Array:
    return np.hstack([StandardScaler().fit_transform(samples), np.ones((len(samples), 1))])


@cache
def settings() -> Mapping[str, Setting]:
    wine, kinds = load_wine(return_X_y=True)
    cancer, malignant = load_breast_cancer(return_X_y=True)
    random = np.random.default_rng(5)
    clouds = random.normal(size=(2_000, 20))
    labels = (clouds @ random.normal(size=(20, 4)) + 2.0 * random.normal(size=(2_000, 4))).argmax(axis=1)
    wine_data, cancer_data, cloud_data = _scaled(wine), _scaled(cancer), _scaled(clouds)
    return {
        "wine": Setting(Softmax(wine_data, kinds, 2, classes=3), 0.5, False, 0.03, limit_s=LIMIT_S),
        "cancer": Setting(Softmax(cancer_data, malignant, 4, classes=2), 1.0, False, 0.06, limit_s=LIMIT_S),
        "clouds": Setting(Softmax(cloud_data, labels, 4, classes=4), 0.5, False, 0.575, limit_s=LIMIT_S),
        "clouds, η ∝ k": Setting(Softmax(cloud_data, labels, 16, classes=4), 0.5, True, 0.57, limit_s=LIMIT_S),
        "net, η ∝ k": Setting(Perceptron(wine_data, kinds, 16, 12, classes=3), 0.3, True, 0.03, limit_s=LIMIT_S),
    }


def measure() -> None:
    """Prints a line for each cell, then the median ratio."""
    ratios = []
    for setting, latency in product(settings(), ROUND_TRIPS):
        best, k = min((_median(setting, latency, make_quorum("static", k=k)), k) for k in KS)
        dynamic = _median(setting, latency, make_quorum("dynamic"))
        ratios.append(dynamic / best)
        print(f"{setting:16} {latency:20} k = {k:2} {best:6.0f}   dynamic {dynamic:6.0f}   ratio {ratios[-1]:.2f}")
    print(f"median {median(ratios):.2f}, worst {max(ratios):.2f}")


def _median(setting: str, latency: str, quorum: Quorum) -> float:
    return median(train(settings()[setting], ROUND_TRIPS[latency], quorum, seed).took_s for seed in SEEDS)


if __name__ == "__main__":
    measure()
