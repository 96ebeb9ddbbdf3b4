"""T(k) from round trips, against T(k) as it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import pytest

from orchestrator.quorum import Static
from orchestrator.quorum.monte_carlo import push_and_interrupt, push_and_wait, round_times
from orchestrator.quorum.round_times import RoundTimes
from orchestrator.records import Evidence, RoundTrip
from tests.unit.quorum.push_and_wait import (
    Array,
    Cluster,
    NoisyQuadratic,
    RoundTripModel,
    constant,
    quarter_slow,
    shifted_exponential,
)

MODELS = {
    "0.3 + 0.7 Exp": shifted_exponential(0.7),
    "Exp": shifted_exponential(1.0),
    "a quarter five times slower": quarter_slow,
}


def evidence(
    round_trips: Mapping[str, Sequence[RoundTrip]], in_flight_s: Mapping[str, float] | None = None
) -> Evidence:
    n = len(round_trips)
    return Evidence(7, 0.0, 100.0, n, n, 1, round_trips, [], in_flight_s or {}, {}, None, 3)


def drawn(model: RoundTripModel, n: int = 16, trips: int = 40) -> Evidence:
    random = np.random.default_rng(0)
    took = np.array([model(random, 0.0, n) for _ in range(trips)])
    return evidence({f"w{i:05d}": [RoundTrip(90.0, float(s), True) for s in took[:, i]] for i in range(n)})


def true_times(model: RoundTripModel, n: int, ks: Sequence[int]) -> Array:
    random = np.random.default_rng(1)
    return push_and_wait(np.array([[model(random, 0.0, n) for _ in range(100)] for _ in range(8)]), ks)


def seen_from(
    model: RoundTripModel, k: int, *, seed: int, time_late: bool = True, interrupt: bool = False
) -> RoundTimes:
    """What a run of 200 rounds at that k says about every k."""
    cluster = Cluster(NoisyQuadratic(), model, 0.1, seed=seed, time_late=time_late, interrupt=interrupt)
    *_, last = islice(cluster.rounds(Static(k)), 200)
    times = round_times(evidence(cluster.round_trips)._replace(now_s=last.closed_s, seed=seed), current=k)
    assert times is not None
    return times


def from_runs(model: RoundTripModel, k: int, *, time_late: bool = True, interrupt: bool = False) -> Array:
    runs = [seen_from(model, k, seed=seed, time_late=time_late, interrupt=interrupt).seconds for seed in range(4)]
    return np.asarray(np.mean(runs, axis=0)[[1, 3, 7, 11, 15]])


@pytest.mark.parametrize("k", [2, 4, 8, 12, 16])
@pytest.mark.parametrize("model", MODELS)
def test_a_run_at_any_k_shows_the_times_of_all_within_a_tenth(model: str, k: int) -> None:
    truth = true_times(MODELS[model], 16, [2, 4, 8, 12, 16])
    assert from_runs(MODELS[model], k) == pytest.approx(truth, rel=0.1)


def test_without_late_results_it_would_be_blind_to_the_slow() -> None:
    truth = true_times(MODELS["Exp"], 16, [16])
    assert from_runs(MODELS["Exp"], 4, time_late=False)[-1] < 0.5 * truth[0]


@pytest.mark.parametrize("k", [4, 8, 12])
def test_interrupted_work_is_completed_by_a_guess(k: int) -> None:
    harmonic = np.concatenate(([0.0], np.cumsum(1 / np.arange(1, 17))))
    truth = [0.3 + 0.7 * (harmonic[16] - harmonic[16 - j]) for j in (2, 4, 8, 12, 16)]
    assert from_runs(MODELS["0.3 + 0.7 Exp"], k, interrupt=True) == pytest.approx(truth, rel=0.15)


def test_interrupted_rounds_are_order_statistics() -> None:
    """μ(H_n - H_{n-k}) for Exp(μ)."""
    draws = np.random.default_rng(0).exponential(size=(8, 5_000, 16))
    assert push_and_interrupt(draws, [8, 16]) == pytest.approx([0.663, 3.381], rel=0.01)


def test_equal_workers_take_the_same_for_every_k() -> None:
    times = round_times(drawn(constant), current=16)
    assert times is not None
    assert times.ks == tuple(range(1, 17))
    assert times.seconds == pytest.approx([1.0] * 16)


def test_a_stuck_worker_is_seen_before_it_answers() -> None:
    calm = drawn(constant)
    stuck = round_times(calm._replace(in_flight_s={"w00003": 30.0, "w00004": 0.5}), current=16)
    assert stuck is not None
    assert stuck.at(15) == pytest.approx(1.0)
    assert stuck.at(16) >= 30.0


def test_one_that_was_never_timed_is_like_the_others_until_it_takes_longer() -> None:
    trips: dict[str, Sequence[RoundTrip]] = dict(drawn(constant, n=4).round_trips)
    newcomer = evidence(trips | {"new": deque()})
    times = round_times(newcomer, current=5)
    late = round_times(newcomer._replace(in_flight_s={"new": 9.0}), current=5)
    unnamed = round_times(evidence(trips)._replace(present=5), current=5)
    assert times is not None
    assert late is not None
    assert times == unnamed
    assert times.seconds == pytest.approx([1.0] * 5)
    assert late.at(5) >= 9.0


def test_there_are_no_times_until_half_of_the_workers_are_timed() -> None:
    trips = drawn(constant, n=4).round_trips
    assert round_times(evidence(trips)._replace(present=9), current=1) is None
    assert round_times(evidence(trips)._replace(present=8), current=1) is not None
    assert round_times(evidence({"w": []}), current=1) is None


def test_round_trips_from_before_a_change_are_forgotten() -> None:
    trips = [RoundTrip(float(at), 1.0 if at < 60 else 5.0, True) for at in range(40, 62)]
    times = round_times(evidence({f"w{i}": trips for i in range(4)}), current=4)
    assert times is not None
    assert times.seconds == pytest.approx([5.0] * 4)


@pytest.mark.parametrize("n", [100, 1_000, 10_000])
@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_a_sample_shows_the_times_of_all(n: int, alpha: float) -> None:
    def model(random: np.random.Generator, now_s: float, n: int) -> Array:
        return quarter_slow(random, now_s, n) * shifted_exponential(alpha)(random, now_s, n)

    times = round_times(drawn(model, n, trips=10), current=n // 2)
    assert times is not None
    assert len(times.ks) <= 16
    random = np.random.default_rng(1)
    truth = push_and_wait(np.array([[model(random, 0.0, n) for _ in range(5)] for _ in range(8)]), times.ks)
    assert np.array(times.seconds)[1:-1] == pytest.approx(truth[1:-1], rel=0.15)


def test_of_ten_thousand_workers_only_a_sample_is_read_in_full() -> None:
    class Counted(Sequence[RoundTrip]):
        reads = 0

        def __init__(self, trips: Sequence[RoundTrip]) -> None:
            self._trips = trips

        def __len__(self) -> int:
            return len(self._trips)

        def __getitem__(self, at: int) -> RoundTrip:  # type: ignore[override]
            Counted.reads += 1
            return self._trips[at]

        def __reversed__(self) -> Iterator[RoundTrip]:
            Counted.reads += len(self)
            return reversed(self._trips)

    many = drawn(shifted_exponential(0.7), 10_000, trips=10)
    round_times(many._replace(round_trips={name: Counted(own) for name, own in many.round_trips.items()}), current=1)
    assert Counted.reads <= 10_000 + 256 * 11
