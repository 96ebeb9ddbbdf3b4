"""From an entry to what MLflow stores."""

import math

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records import Row
from orchestrator.tracking.entries import Entry, Span, WorkerSpan
from orchestrator.tracking.points import Point, points
from tests.support.tracking import STARTED_MS, closed_round

rows = st.builds(Row, st.integers(0, 2**40), st.dictionaries(st.text(max_size=20), st.floats(), max_size=5))
times = st.floats(0, 1e8)


@given(st.builds(Entry, times, st.lists(rows, max_size=4), st.just(()), st.just(0), st.just(0), st.none()))
def test_each_figure_becomes_one_point_at_the_time_of_its_wake(entry: Entry) -> None:
    made = list(points(entry, STARTED_MS))
    assert [point.step for point in made] == [row.step for row in entry.rows for _ in row.metrics]
    assert all(abs(point.timestamp_ms - STARTED_MS - entry.now_s * 1000) <= 1 for point in made)
    values = [value for row in entry.rows for value in row.metrics.values()]
    assert all(a.value == b or (math.isnan(a.value) and math.isnan(b)) for a, b in zip(made, values, strict=True))


@given(st.builds(Entry, times, st.lists(rows, max_size=4), st.just(()), st.just(0), st.just(0), st.none()))
def test_the_same_entry_gives_the_same_points(entry: Entry) -> None:
    assert repr(list(points(entry, STARTED_MS))) == repr(list(points(entry, STARTED_MS)))


def test_a_closed_round_adds_its_own_figures() -> None:
    entry = Entry(3.0, [Row(5, {"loss": 0.5, "samples": 96.0})], [closed_round(5, 1.0, 3.0)], results=4, useful=3)
    figures = {point.key: point for point in points(entry, STARTED_MS)}
    assert figures["loss"] == Point("loss", 0.5, STARTED_MS + 3000, 5)
    assert {name: point.value for name, point in figures.items()} == {
        "loss": 0.5,
        "samples": 96.0,
        "round_s": 2.0,
        "eligible": 4.0,
        "present": 4.0,
        "arrived": 3.0,
        "samples_per_s": 48.0,
        "wasted_share": 0.25,
    }
    assert {point.step for point in figures.values()} == {5}


def test_a_round_of_no_duration_has_no_throughput() -> None:
    entry = Entry(1.0, [Row(5, {"samples": 96.0})], [closed_round(5, 1.0, 1.0)], results=0, useful=0)
    keys = {point.key for point in points(entry, STARTED_MS)}
    assert "samples_per_s" not in keys
    assert "wasted_share" not in keys


def test_a_span_becomes_quantiles_of_all_workers_and_of_each() -> None:
    workers = [WorkerSpan("worker-0", [0.1] * 99 + [0.3], 0), WorkerSpan("worker-1", [0.5] * 100, 40)]
    entry = Entry(10.0, [], [], 0, 0, Span(70, workers, {"lost worker": 2}))
    made = list(points(entry, STARTED_MS))
    assert {(point.timestamp_ms, point.step) for point in made} == {(STARTED_MS + 10_000, 70)}
    assert {point.key: point.value for point in made} == {
        "round_trip_p50_s/all": 0.3,
        "round_trip_p90_s/all": 0.5,
        "round_trip_p99_s/all": 0.5,
        "late_share/all": 0.2,
        "round_trip_p50_s/worker-0": 0.1,
        "round_trip_p90_s/worker-0": 0.1,
        "round_trip_p99_s/worker-0": 0.1,
        "late_share/worker-0": 0.0,
        "round_trip_p50_s/worker-1": 0.5,
        "round_trip_p90_s/worker-1": 0.5,
        "round_trip_p99_s/worker-1": 0.5,
        "late_share/worker-1": 0.4,
        "failures/lost_worker": 2.0,
    }


def test_of_many_workers_only_what_they_are_together_is_recorded() -> None:
    workers = [WorkerSpan(f"worker-{number}", [1.0], 1) for number in range(100)]
    keys = {point.key for point in points(Entry(10.0, [], [], 0, 0, Span(70, workers, {})), STARTED_MS)}
    assert keys == {"round_trip_p50_s/all", "round_trip_p90_s/all", "round_trip_p99_s/all", "late_share/all"}
