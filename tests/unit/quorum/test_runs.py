"""Whole runs on a virtual clock: what each policy settles on, and how long training takes with it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise, takewhile
from statistics import fmean, median

import pytest

from orchestrator.protocols import Quorum
from orchestrator.quorum import AdaSync, Dbw, Dynamic, Full, Rate, Static
from tests.unit.quorum.digits import digits
from tests.unit.quorum.push_and_wait import (
    Cluster,
    NoisyQuadratic,
    Round,
    constant,
    half_slows_down,
    pareto,
    quarter_slow,
    shifted_exponential,
)

SEEDS = range(3)


def on_digits(**changes: object) -> Cluster:
    """16 workers, batches of 4, η = 8: noise matters."""
    return replace(Cluster(digits(batch=4), constant, learning_rate=8.0), **changes)  # type: ignore[arg-type]


def to_target(cluster: Cluster, quorum: Quorum) -> list[Round]:
    """Rounds until the loss over all samples is 0.1, looked at every fourth round."""
    return list(
        takewhile(
            lambda closed: closed.number % 4 or cluster.objective.full_loss(cluster.weights) > 0.1,
            cluster.rounds(quorum),
        )
    )


def time_to_target(quorum: Quorum, **changes: object) -> float:
    """Median over the seeds."""
    return median(to_target(on_digits(seed=seed, **changes), quorum)[-1].closed_s for seed in SEEDS)


@pytest.mark.parametrize("quorum", [Dynamic(), Rate(), Dbw()], ids=repr)
def test_equally_fast_workers_are_all_waited_for(quorum: Quorum) -> None:
    assert {closed.k for closed in islice(on_digits().rounds(quorum), 60)} == {16}


@pytest.mark.parametrize("quorum", [Dynamic(), Rate()], ids=repr)
def test_a_slow_quarter_is_not_waited_for(quorum: Quorum) -> None:
    ks = [closed.k for closed in islice(on_digits(round_trip=quarter_slow).rounds(quorum), 80)]
    assert ks[3:] == [12] * 77


def test_waiting_for_the_slow_quarter_is_what_the_paper_would_do_with_small_batches() -> None:
    ks = [closed.k for closed in islice(on_digits(round_trip=quarter_slow).rounds(Dbw()), 80)]
    assert fmean(ks) > 14


def test_k_falls_to_half_when_half_of_the_workers_slow_down() -> None:
    after: list[int] = []
    for seed in SEEDS:
        cluster = on_digits(round_trip=half_slows_down, proportional=True, seed=seed)
        rounds = list(takewhile(lambda c: c.closed_s < 120, cluster.rounds(Dynamic())))
        assert fmean(c.k for c in rounds if 10 < c.closed_s < 40) >= 14
        after += [c.k for c in rounds if c.closed_s > 90]
    assert median(after) == 8
    assert 7 <= min(after) <= max(after) <= 8


@pytest.mark.parametrize("seed", SEEDS)
def test_k_grows_as_the_loss_falls(seed: int) -> None:
    rounds = to_target(on_digits(round_trip=shifted_exponential(0.7), seed=seed), Dynamic())
    quarter = len(rounds) // 4
    assert fmean(c.k for c in rounds[3:quarter]) + 1 < fmean(c.k for c in rounds[2 * quarter :])


@pytest.mark.parametrize(
    ("round_trip", "best_k"),
    [(constant, 16), (shifted_exponential(0.7), 6), (shifted_exponential(1.0), 4), (pareto, 6), (quarter_slow, 12)],
    ids=["constant", "0.3 + 0.7 Exp", "Exp", "Pareto", "a quarter slow"],
)
def test_dynamic_is_about_as_fast_as_the_best_static_k(round_trip: object, best_k: int) -> None:
    dynamic = time_to_target(Dynamic(), round_trip=round_trip)
    assert dynamic <= 1.2 * time_to_target(Static(best_k), round_trip=round_trip)
    assert dynamic <= 1.02 * time_to_target(Full(), round_trip=round_trip)


def test_momentum_is_noise_too() -> None:
    """With momentum 0.9 and a tenth of the learning rate nothing changes much."""
    plain = to_target(on_digits(round_trip=shifted_exponential(0.7)), Dynamic())
    heavy = to_target(on_digits(round_trip=shifted_exponential(0.7), learning_rate=0.8, momentum=0.9), Dynamic())
    assert fmean(c.k for c in heavy) == pytest.approx(fmean(c.k for c in plain), abs=2)


@pytest.mark.parametrize("quorum", [Dynamic(), Rate(), Dbw(), AdaSync()], ids=repr)
@pytest.mark.parametrize("unit", [{"second_s": 1e-3}, {"loss_unit": 50.0}], ids=["milliseconds", "loss times 50"])
def test_units_mean_nothing(quorum: Quorum, unit: dict[str, float]) -> None:
    def ks(cluster: Cluster) -> list[int]:
        return [closed.k for closed in islice(cluster.rounds(quorum), 60)]

    plain = on_digits(round_trip=shifted_exponential(0.7))
    assert ks(replace(plain, **unit)) == ks(plain)  # type: ignore[arg-type]


def test_static_n_is_full() -> None:
    statics, fulls = on_digits(round_trip=pareto), on_digits(round_trip=pareto)
    times = [
        [c.closed_s for c in islice(statics.rounds(Static(16)), 30)],
        [c.closed_s for c in islice(fulls.rounds(Full()), 30)],
    ]
    assert times[0] == times[1]
    assert statics.weights.tobytes() == fulls.weights.tobytes()


def test_a_plateau_of_what_cannot_be_learnt_does_not_end_in_waiting_for_stragglers() -> None:
    """A constant loss added to a noisy quadratic: F* is found, and k stays below the slow quarter."""

    class Irreducible(NoisyQuadratic):
        def gradients(self, weights, k, random):  # type: ignore[no-untyped-def]
            losses, gradients = super().gradients(weights, k, random)
            return losses + 0.5, gradients

    cluster = Cluster(Irreducible(variance=10.0), quarter_slow, learning_rate=0.1)
    rounds = list(islice(cluster.rounds(Dynamic()), 600))
    assert {closed.k for closed in rounds[5:]} <= set(range(1, 13))


def test_adasync_is_its_formula() -> None:
    rounds = list(islice(on_digits().rounds(AdaSync(k0=2)), 40))
    smoothed = first = rounds[0].loss
    for before, closed in pairwise(rounds):
        smoothed += 0.1 * (before.loss - smoothed)
        assert 0 <= closed.k - 2 * (first / smoothed) ** 0.5 < 1 or closed.k == 16
