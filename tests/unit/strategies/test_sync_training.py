"""What training in full does beyond its plain steps, on the bowl and the virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import VirtualPool
from orchestrator.quorum import make_quorum
from orchestrator.records import Cause, Late, Ref, Result, Row, Work
from orchestrator.strategies import SyncTraining
from orchestrator.strategies.training import Checkpoints, EarlyStopping, Lawa, LearningRate, LocalSteps
from orchestrator.strategies.training.best import Best
from orchestrator.strategies.training.learning_rate import exponent, factor
from orchestrator.strategies.training.learning_rate import tested as sizes_tested
from orchestrator.strategies.training.loss_scale import GROWS_AFTER, LossScale
from orchestrator.values.memory import MemoryValues
from tests.support.toys.train import strategy, toy

SLOW_LAST = Latency(
    ShiftedExponential(0.3),
    factors={3: 6.0},
    by_kind={"init": Constant(0.1), "aggregate": Constant(0.01), "evaluate": Constant(0.05)},
)


class Run:
    """A run to its end on virtual workers, of whom the fourth is slow."""

    def __init__(
        self, training: SyncTraining, quorum: str = "full", workers: int = 4, train_samples: int = 240, **options: Any
    ) -> None:
        self.strategy, self.core = training, Core(training, make_quorum(quorum, **options), workers=workers)
        self.values, self.rows, self.works = MemoryValues(), list[Row](), list[Work]()
        self.failures: list[Cause] = []
        self.checkpoints: list[tuple[str, ...]] = []
        pool = VirtualPool(workers, toy(self.values, train_samples=train_samples), latency=SLOW_LAST)
        while not self.core.finished:
            wake = pool.wait(self.core.deadline_s)
            actions = self.core.handle(wake)
            pool.cancel(actions.cancel)
            pool.submit(actions.submit)
            self.rows.extend(actions.rows)
            self.works.extend(assignment.work for assignment in actions.submit)
            results = (event for event in wake.events if isinstance(event, Result))
            self.failures.extend(result.failure.cause for result in results if result.failure is not None)
            self.checkpoints.append(tuple(training.checkpoints))

    def of(self, metric: str) -> list[float]:
        return [row.metrics[metric] for row in self.rows if metric in row.metrics]

    def asked(self, kind: str) -> list[Work]:
        return [work for work in self.works if work.kind == kind]

    def weights(self, ref: Ref) -> Any:
        return self.values.get(ref)["w"]


def test_late_gradients_are_interrupted_and_their_workers_start_anew_at_once() -> None:
    dropped, interrupted = Run(strategy(), "static", k=3), Run(strategy(late=Late.INTERRUPT), "static", k=3)
    assert Cause.CANCELLED not in dropped.failures
    assert interrupted.failures.count(Cause.CANCELLED) > 5
    assert len(interrupted.asked("gradient")) > len(dropped.asked("gradient"))
    assert interrupted.of("epoch")[-1] >= 2


def test_the_scale_of_the_loss_falls_until_nothing_overflows_and_no_data_are_lost() -> None:
    run = Run(strategy(backward={"precision": "float16"}))
    assert run.of("loss_scale")[-1] == 2.0**10  # what the bowl bears in every block
    assert run.of("epoch") == Run(strategy()).of("epoch")
    assert run.strategy.order == Run(strategy()).strategy.order


def test_the_scale_is_the_smallest_that_was_used_and_many_good_steps_double_it() -> None:
    scale = LossScale()
    first = scale.scale
    scale.stepped(first / 4)
    assert scale.scale == first / 4
    for _ in range(GROWS_AFTER):
        scale.stepped(scale.scale)
    assert scale.scale == first / 2


def test_local_steps_use_their_blocks_and_keep_each_workers_memory() -> None:
    outer = {"name": "sgd", "lr": 0.7}
    run = Run(strategy(local=LocalSteps(3, outer)))
    assert not run.asked("gradient")
    asked = run.asked("local_steps")
    assert all(work.params["steps"] == 3 for work in asked)
    assert {work.params["optimizer"]["lr"] for work in run.asked("aggregate")} == {0.7}  # type: ignore[index, call-overload]
    assert len(asked) == pytest.approx(240 * 2 / 30, abs=4)  # blocks of 3 · 10 samples
    latest = [work for work in asked if "inner" in work.inputs]
    assert len(latest) >= len(asked) - 4


def test_the_model_is_the_average_when_there_is_one() -> None:
    plain, averaged = Run(strategy()), Run(strategy(ema=0.9))
    assert averaged.of("loss") == plain.of("loss")  # training goes its way
    assert plain.strategy.model is not None
    assert averaged.strategy.model is not None
    assert (averaged.weights(averaged.strategy.model.weights) != plain.weights(plain.strategy.model.weights)).any()
    assert averaged.of("validation_loss") != plain.of("validation_loss")


def test_lawa_is_the_mean_of_the_versions_at_its_intervals() -> None:
    run = Run(strategy(lawa=Lawa(3, {"rounds": 4})))
    due = [work for work in run.asked("aggregate") if "lawa" in work.params]
    steps = [run.asked("aggregate").index(work) + 1 for work in due]
    assert steps == [4, 8, 12]
    assert [len(work.inputs) for work in due] == [6, 7, 8]  # weights, optimizer, four gradients, and those kept
    assert run.strategy.model is not None
    versions = [run.weights(Ref(f"{work.id}.weights")) for work in due]
    assert run.weights(run.strategy.model.weights).tolist() == pytest.approx((sum(versions) / 3).tolist())


def test_early_stopping_ends_the_run_with_its_best_version() -> None:
    """The bowl is soon at its noise floor."""
    run = Run(strategy(epochs=500, best=("loss", "min"), stopping=EarlyStopping(4, 0.0), evaluate_every={"rounds": 5}))
    seen = run.of("validation_loss")
    assert run.of("epoch")[-1] < 100
    assert min(seen[-4:]) >= min(seen)
    assert run.of("test_loss")[-1] == pytest.approx(min(seen))  # the bowl's height is the same on every split
    assert "best" in run.strategy.checkpoints


def test_an_average_is_judged_once_however_often_evaluations_are_due() -> None:
    stopping = EarlyStopping(2, 0.0)
    run = Run(
        strategy(lawa=Lawa(2, {"rounds": 6}), best=("loss", "min"), stopping=stopping, evaluate_every={"rounds": 1})
    )
    weights = [work.inputs["weights"] for work in run.asked("evaluate") if work.params["split"] == "validation"]
    averages = [ref for ref in weights if ref.endswith("average")]
    assert run.of("epoch")[-1] == 2
    assert len(set(averages)) == 2
    assert len(averages) == 4  # each in two parts


def test_without_patience_the_last_version_is_validated_too_and_may_be_the_best() -> None:
    run = Run(strategy(epochs=1, best=("loss", "min"), evaluate_every={"epochs": 5}))
    assert len(run.of("validation_loss")) == 1
    assert run.strategy.checkpoints["best"] == run.strategy.model


def test_a_metric_that_the_task_does_not_have_ends_the_run_with_those_that_it_has() -> None:
    with pytest.raises(RunFailed, match=r"chosen by 'f1', but the task's metrics are loss"):
        Run(strategy(best=("f1", "max"), evaluate_every={"rounds": 3}))


def test_epochs_and_intervals_end_on_their_block_whatever_rounding_makes_of_them() -> None:
    """1.1 · 50 and 3 · 0.1 · 50 are above 55 and 15 in floats."""
    training = strategy(epochs=1.1, checkpoints=Checkpoints({"epochs": 0.1}, 99))
    run = Run(training, train_samples=500, workers=1)
    assert len(run.asked("aggregate")) == 55
    assert run.checkpoints[-1] == tuple(f"step-{step:08}" for step in range(5, 56, 5))


def test_the_newest_checkpoints_at_intervals_are_kept() -> None:
    run = Run(strategy(checkpoints=Checkpoints({"rounds": 3}, 2)))
    assert run.checkpoints[-1] == ("step-00000009", "step-00000012")
    assert ("step-00000003",) in run.checkpoints
    assert ("step-00000003", "step-00000006") in run.checkpoints


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1), mode=st.sampled_from(["max", "min"])
)
def test_the_best_is_the_best_of_the_finite_ones(values: list[float], mode: Any) -> None:
    best = Best()
    for step, value in enumerate(values):
        best.saw(value, step, Ref(f"{step}.weights"), mode, 0.0)
    finite = [value for value in values if abs(value) < float("inf")]
    choose: Callable[[list[float]], float] = max if mode == "max" else min
    if finite:
        assert best.value == choose(finite)
        assert best.weights == f"{best.step}.weights"
    else:
        assert not best.weights


@pytest.mark.parametrize(("rule", "p"), [("constant", 0.0), ("proportional", 1.0), ("knee", 0.5)])
def test_the_learning_rate_follows_k_by_its_rule(rule: Any, p: float) -> None:
    """The bowl's range tests say: as the root of the batch."""
    run = Run(strategy(workers=4, learning_rate=LearningRate(rule)), "static", k=2)
    assert len(run.asked("range_test")) == (3 if rule == "knee" else 0)
    expected = [0.2 * (k / 4) ** p for k in run.of("waited_for")]
    assert run.of("learning_rate") == pytest.approx(expected)
    assert run.strategy.signals["learning_rate_exponent"] == pytest.approx(p)


@given(slope=st.floats(0, 1), scale=st.floats(1e-3, 1e3), ks=st.sets(st.integers(1, 10_000), min_size=2, max_size=4))
def test_a_power_law_of_knees_gives_its_exponent(slope: float, scale: float, ks: set[int]) -> None:
    found = exponent("knee", {k: scale * k**slope for k in ks})
    assert found == pytest.approx(slope, abs=1e-6)
    assert 0 <= found <= 1


@given(workers=st.integers(1, 1000))
def test_range_tests_end_with_all_workers_whose_learning_rate_is_as_given(workers: int) -> None:
    assert sizes_tested(workers)[0] == 1
    assert sizes_tested(workers)[-1] == workers
    assert factor(workers, workers, 0.7) == 1.0


def test_a_schedule_is_stepped_each_round_or_each_epoch() -> None:
    schedule = {"name": "StepLR", "step_size": 1}
    counts = {}
    for per in ("round", "epoch"):
        run = Run(strategy(learning_rate=LearningRate(schedule=schedule, per=per)))  # type: ignore[arg-type]
        counts[per] = [work.params["scheduled"]["count"] for work in run.asked("aggregate")]  # type: ignore[index, call-overload]
    assert counts["round"] == list(range(len(counts["round"])))
    assert counts["epoch"] == [0] * 6 + [1] * 6  # an epoch is 24 blocks, four a step
