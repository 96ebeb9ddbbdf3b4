"""What goes on record depends on the wakes alone, wherever one starts to look."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records import Actions, Cause, Counts, Failure, Ref, Result, Row, Told, Wake, Work
from orchestrator.summary import Summary
from orchestrator.tracking.entries import FIRST_ROUNDS, RECORD_EVERY_S, Gleaner
from tests.support.tracking import History, closed_round, points_of, training

histories = st.sampled_from([training(seed, stormy) for seed in range(6) for stormy in (False, True)])


def result(work_id: int, failure: Failure | None = None) -> Result:
    return Result(work_id, 1, "worker-0", {"gradient": Ref(f"{work_id}.gradient")}, {}, 1.0, 1.0, failure)


def told(work_id: int, counts: Counts = Counts.QUORUM) -> Told:
    return Told(Work(work_id, 1, "gradient", {}, {}, counts=counts), result(work_id), 0.0)


def summary_of(history: History) -> Summary:
    summary = Summary()
    for wake, actions in history:
        summary.seen(wake, actions)
    return summary


@given(histories)
def test_every_row_of_a_run_goes_on_record_once(history: History) -> None:
    gleaner = Gleaner()
    entries = [entry for seen in history if (entry := gleaner.glean(*seen))]
    assert [row for entry in entries for row in entry.rows] == [row for _, actions in history for row in actions.rows]
    assert sum(len(entry.closed) for entry in entries) == sum(len(actions.closed) for _, actions in history)


@given(histories, st.floats(0, 1))
def test_a_tracker_that_starts_anywhere_records_nothing_that_differs(history: History, share: float) -> None:
    start = round(share * len(history))
    whole, rest = set(points_of(history)), set(points_of(history[start:]))
    assert rest <= whole
    of_rows = {(key, row.step) for _, actions in history[start:] for row in actions.rows for key in row.metrics}
    assert of_rows <= {(point.key, point.step) for point in rest}


@given(histories)
def test_the_wasted_share_is_that_of_results_nobody_was_told_of(history: History) -> None:
    shares = [point.value for point in points_of(history) if point.key == "wasted_share"]
    assert len(shares) == sum(len(actions.closed) for _, actions in history) - 1  # none before the first
    assert all(0 <= share < 1 for share in shares)
    assert any(shares)  # the slow worker is late in some round


def test_all_wasted_shares_together_are_the_goodput_from_the_first_round_to_the_last() -> None:
    history = training(seed=1, stormy=False)
    gleaner = Gleaner()
    entries = [entry for seen in history if (entry := gleaner.glean(*seen))]
    results, useful = sum(entry.results for entry in entries), sum(entry.useful for entry in entries)
    closes = [index for index, (_, actions) in enumerate(history) if actions.closed]
    first, last = (summary_of(history[: index + 1]) for index in (closes[0], closes[-1]))
    assert (results, useful) == (last.done - first.done, last.useful - first.useful)


def test_late_and_failed_results_are_wasted() -> None:
    gleaner = Gleaner()
    failed = result(3, Failure(Cause.NON_FINITE, "loss is NaN"))
    first = gleaner.glean(Wake(0.5, (result(9),)), Actions((), (), closed=[closed_round(0, 0.0, 0.5)]))
    assert first is not None
    assert (first.results, first.useful) == (0, 0)
    assert gleaner.glean(Wake(1.0, (result(0), result(1), failed)), Actions((), ())) is None
    assert gleaner.glean(Wake(1.5, (result(4),)), Actions((), (), told=[told(4, Counts.ASIDE)])) is None
    actions = Actions((), (), told=[told(0), told(1)], rows=[Row(1, {"loss": 2.0})], closed=[closed_round(1, 0.5, 2.0)])
    entry = gleaner.glean(Wake(2.0, (result(2),)), actions)
    assert entry is not None
    assert (entry.results, entry.useful) == (4, 2)


def test_a_wake_without_figures_leaves_no_entry() -> None:
    assert Gleaner().glean(Wake(1.0, (result(0),)), Actions((), (), told=[told(0)])) is None


@given(histories)
def test_the_spans_of_a_run_have_all_answers_until_the_last_of_them(history: History) -> None:
    gleaner, summary, counted = Gleaner(), Summary(), None
    trips = late = failures = 0
    for wake, actions in history:
        summary.seen(wake, actions)
        entry = gleaner.glean(wake, actions)
        if entry is not None and entry.span is not None:
            trips += sum(len(worker.round_trips_s) for worker in entry.span.workers)
            late += sum(worker.late for worker in entry.span.workers)
            failures += sum(entry.span.failures.values())
            figures = summary.workers
            counted = (
                sum(worker.answered - worker.failed for worker in figures),
                sum(worker.late for worker in figures) - len(list(summary.attendance.overdue())),
                sum(summary.failures.values()),
            )
    assert counted == (trips, late, failures)


@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=60), st.integers(0, 60))
def test_of_quick_rounds_the_first_of_each_half_second_is_on_record_wherever_one_starts_to_look(
    durations_s: list[float], start: int
) -> None:
    history, now_s = [], 0.0
    for number, seconds in enumerate(durations_s, start=FIRST_ROUNDS - 5):
        closed = [closed_round(number, now_s, now_s + seconds)]
        now_s += seconds
        history.append((Wake(now_s, ()), Actions((), (), rows=[Row(number, {"loss": 1.0})], closed=closed)))
    slots: dict[int, int] = {}
    for wake, actions in history:
        slots.setdefault(int(wake.now_s // RECORD_EVERY_S), actions.closed[0].round)
    on_record = [point.step for point in points_of(history) if point.key == "round_s"]
    assert on_record == [point.step for point in points_of(history) if point.key == "loss"]
    assert [step for step in on_record if step > FIRST_ROUNDS] == [
        step for step in list(slots.values()) if step > FIRST_ROUNDS
    ]
    assert {step for _, actions in history if (step := actions.closed[0].round) <= FIRST_ROUNDS} <= set(on_record)
    assert set(points_of(history[start:])) <= set(points_of(history))


def test_what_is_no_round_is_on_record_however_quick_the_rounds() -> None:
    gleaner = Gleaner()
    rows = [Row(7000, {"loss": 1.0}), Row(6999, {"test_accuracy": 0.9})]
    entry = gleaner.glean(Wake(9.1, ()), Actions((), (), rows=rows, closed=[closed_round(7000, 9.0, 9.1)]))
    assert entry is not None
    assert (entry.rows, entry.closed) == ([rows[1]], [])
