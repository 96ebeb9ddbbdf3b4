"""T(k) where late gradients are interrupted: from the round trips that the core times, most of them without an end."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import numpy as np
import pytest

from orchestrator.core import Core
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import VirtualPool
from orchestrator.quorum.monte_carlo import round_times
from orchestrator.quorum.round_times import RoundTimes
from orchestrator.records import Decision, Evidence, Late, Ref, Work
from orchestrator.strategies import SyncTraining, SyncTrainingSettings

N, ROUNDS = 16, 120
FIGURES: Mapping[str, Mapping[str, float]] = {
    "init": {"train_samples": 1e9, "validation_samples": 0.0, "test_samples": 0.0},
    "aggregate": {"norm2": 1.0, "learning_rate": 0.1},
    "gradient": {"loss": 1.0, "norm2": 2.0, "samples": 1.0},
}
OUTPUTS = {"init": ("weights", "optimizer"), "aggregate": ("weights", "optimizer"), "gradient": ("gradient",)}


def answer(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
    return {name: Ref(f"{work.id}.{name}") for name in OUTPUTS[work.kind]}, FIGURES[work.kind]


class Fixed:
    """Waits for k; keeps what the last rounds' evidence says about every k."""

    def __init__(self, k: int) -> None:
        self.k, self.rounds = k, 0
        self.times: list[RoundTimes] = []
        self.unfinished = 0.0

    def decide(self, evidence: Evidence) -> Decision:
        self.rounds += 1
        if self.rounds >= ROUNDS - 20:
            times = round_times(evidence, current=self.k)
            assert times is not None
            self.times.append(times)
            self.unfinished = fmean(not trip.finished for own in evidence.round_trips.values() for trip in own)
        return Decision(self.k, "fixed")


def seen(k: int, seed: int) -> Fixed:
    """At the end of a run of ROUNDS rounds."""
    fixed = Fixed(k)
    settings = SyncTrainingSettings(1, 1.0, {"name": "sgd", "lr": 0.1}, workers=N, late=Late.INTERRUPT)
    core = Core(SyncTraining(settings), fixed, seed=seed, workers=N)
    at_once = {"init": Constant(0.0), "aggregate": Constant(0.0)}
    pool = VirtualPool(N, answer, seed=seed, latency=Latency(ShiftedExponential(0.7), by_kind=at_once))
    while fixed.rounds < ROUNDS:
        actions = core.handle(pool.wait(core.deadline_s))
        pool.cancel(actions.cancel)
        pool.submit(actions.submit)
    return fixed


@pytest.mark.parametrize("k", [4, 8, 12])
def test_a_run_at_any_k_shows_the_times_of_all(k: int) -> None:
    """Order statistics of fresh round trips, 0.3 + 0.7 (H_n - H_{n-k}), whatever the run's own k.

    Within 5 %; the very last, of whom a run at a small k sees little, within 20 %.
    """
    runs = [seen(k, seed) for seed in range(4)]
    assert fmean(run.unfinished for run in runs) == pytest.approx(1 - k / N, abs=0.05)
    estimate = np.mean([times.seconds for run in runs for times in run.times], axis=0)
    harmonic = np.concatenate(([0.0], np.cumsum(1 / np.arange(1, N + 1))))
    truth = [0.3 + 0.7 * (harmonic[N] - harmonic[N - j]) for j in (2, 4, 8, 12, 16)]
    assert estimate[[1, 3, 7, 11]] == pytest.approx(truth[:4], rel=0.05)
    assert estimate[15] == pytest.approx(truth[4], rel=0.2)
