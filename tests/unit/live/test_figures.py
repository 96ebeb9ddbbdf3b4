"""What a whole recorded run adds up to."""

from __future__ import annotations

import pytest

from orchestrator.goal import Goal
from orchestrator.live.figures import Figures, Frame
from orchestrator.outcome import FEW_WORKERS
from orchestrator.records import Actions, Assignment, Cause, Decided, Failure, Joined, Left, Result, Told, Wake, Work
from tests.support.recorded import SAMPLES, spec_of, wakes_of


def frames(*, workers: int = 4, epochs: float = 1.0, quorum: object = "full") -> list[Frame]:
    """The frame after every wake of a run."""
    figures, seen = Figures(Goal("epoch", epochs, "epochs")), []
    for wake, actions in wakes_of(spec_of(workers=workers, epochs=epochs, quorum=quorum)):
        figures.add(wake, actions)
        seen.append(figures.frame())
    return seen


def test_before_the_first_wake_there_is_a_frame_of_nothing() -> None:
    frame = Figures(Goal("epoch", 5, "epochs")).frame()
    assert (frame.elapsed_s, frame.done, frame.loss, frame.wait_for, frame.left_s) == (0.0, 0.0, None, None, None)


def test_progress_never_falls_and_ends_at_all_epochs() -> None:
    epochs = [frame.done for frame in frames(epochs=0.5)]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 0.5


def test_a_run_that_waits_for_all_uses_all_and_has_nobody_late() -> None:
    last = frames(quorum="full")[-1]
    assert last.unused == 0.0
    assert [line.late for line in last.lines] == [0, 0, 0, 0]


def test_what_a_straggler_computes_in_vain_is_counted_as_late() -> None:
    last = frames(quorum={"static": {"k": 3}})[-1]
    *fast, slow = last.lines
    assert slow.late > 0
    assert max(line.late for line in fast) <= slow.late
    assert last.unused == pytest.approx(sum(line.late for line in last.lines) / (last.rounds * 3 + slow.late), abs=0.02)


def test_the_round_trips_of_a_slow_worker_show() -> None:
    *fast, slow = (line.p50_s or 0.0 for line in frames(quorum={"static": {"k": 3}})[-1].lines)
    assert slow == pytest.approx(0.5, rel=0.3)
    assert fast == pytest.approx([0.1, 0.1, 0.1], rel=0.3)


def test_quantiles_of_round_trips_rise() -> None:
    for frame in frames(quorum="dynamic"):
        for line in frame.lines:
            if line.p50_s is not None and line.p90_s is not None and line.p99_s is not None:
                assert 0 <= line.p50_s <= line.p90_s <= line.p99_s


def test_a_failed_work_makes_nobody_else_of_its_round_late() -> None:
    figures = Figures(Goal("epoch", 1.0, "epochs"))
    figures.add(Wake(0.0, (Joined("worker-0"), Joined("worker-1"))), nothing())
    works = [Work(number, 1, "gradient", {}, {}) for number in range(2)]
    figures.add(Wake(0.0, ()), Actions([Assignment(work, f"worker-{work.id}", 1) for work in works], ()))
    refused = Result(0, 1, "worker-0", {}, {}, 1.0, 1.0, Failure(Cause.NON_FINITE, "loss is NaN"))
    figures.add(Wake(1.0, (refused,)), Actions((), (), told=[Told(works[0], refused, 0.0)]))
    answered = Result(1, 1, "worker-1", {}, {}, 2.0, 2.0)
    figures.add(Wake(2.0, (answered,)), Actions((), (), told=[Told(works[1], answered, 0.0)]))
    frame = figures.frame()
    assert [line.late for line in frame.lines] == [0, 0]
    assert (frame.arrived, frame.unused) == (1, 0.5)


def test_the_time_left_comes_true() -> None:
    seen = frames(epochs=2.0)
    midway = next(frame for frame in seen if frame.done >= 1.0)
    assert midway.left_s == pytest.approx(seen[-1].elapsed_s - midway.elapsed_s, rel=0.2)


def test_rates_are_those_of_the_last_seconds() -> None:
    seen = frames(epochs=2.0)
    midway = next(frame for frame in seen if frame.done >= 1.0)
    whole_run = SAMPLES["train_samples"] * 2 / seen[-1].elapsed_s
    assert midway.samples_per_s == pytest.approx(whole_run, rel=0.2)
    assert midway.rounds_per_s == pytest.approx(midway.samples_per_s / (4 * 64), rel=0.01)


def test_no_more_results_arrive_in_a_round_than_workers_are_present() -> None:
    assert all(frame.arrived <= frame.present for frame in frames(quorum="dynamic"))


def test_evaluations_are_kept_apart_from_the_loss_of_training() -> None:
    last = frames(epochs=2.0)[-1]
    assert last.evaluations["test_accuracy"] == last.evaluations["validation_accuracy"] == 0.9
    assert last.loss != last.evaluations["test_loss"]


def test_many_workers_are_not_shown_one_by_one() -> None:
    assert len(frames(workers=FEW_WORKERS)[-1].lines) == FEW_WORKERS
    many = frames(workers=FEW_WORKERS + 1)[-1]
    assert many.lines == ()
    assert many.present == FEW_WORKERS + 1


def test_a_worker_that_left_is_gone_and_a_failure_is_counted() -> None:
    figures = Figures(Goal("epoch", 1.0, "epochs"))
    figures.add(
        Wake(1.0, (Joined("worker-0"), Joined("worker-1"), Joined("aggregator-0", role="aggregator"))), nothing()
    )
    assert [line.worker for line in figures.frame().lines] == ["worker-0", "worker-1"]
    work = Work(0, 1, "gradient", {}, {})
    figures.add(Wake(1.0, ()), Actions([Assignment(work, "worker-1", 1)], ()))
    lost = Failure(Cause.LOST_WORKER, "gone")
    events = (Result(0, 1, "worker-1", {}, {}, 0.0, 2.0, lost), Left("worker-1", Cause.LOST_WORKER))
    figures.add(Wake(2.0, events), nothing(waiting="1 of at least 2 workers are connected"))
    frame = figures.frame(now_s=5.0)
    assert [(line.worker, line.gone_s) for line in frame.lines] == [("worker-0", None), ("worker-1", 3.0)]
    assert frame.present == 1
    assert frame.failures == {"lost worker": 1}
    assert frame.waiting == "1 of at least 2 workers are connected"


def test_work_that_is_a_round_of_its_own_is_not_late_because_another_was_quicker() -> None:
    """As the merges of candidates, of which each is waited for by itself."""
    figures = Figures(Goal("judged", 2.0, "models"))
    figures.add(Wake(0.0, (Joined("worker-0"), Joined("worker-1"))), nothing())
    works = [Work(number, number, "merge", {}, {}) for number in range(2)]
    given = [Assignment(work, f"worker-{work.id}", 1) for work in works]
    figures.add(Wake(0.0, ()), Actions(given, ()))
    for work in reversed(works):
        result = Result(work.id, 1, f"worker-{work.id}", {}, {}, 1.0, 1.0)
        figures.add(Wake(1.0, (result,)), Actions((), (), told=[Told(work, result, 0.0)]))
    assert figures.frame().unused == 0.0


def nothing(*, waiting: str = "", decided: tuple[Decided, ...] = ()) -> Actions:
    """A core with nothing to do."""
    return Actions((), (), decided=decided, waiting=waiting)
