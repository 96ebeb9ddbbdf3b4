"""The strategy of a search: what it asks, what it lets go of, whom it chooses, and what ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.pools.execute import WorkFailed
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import VirtualPool
from orchestrator.quorum import First
from orchestrator.records import Cause, Failure, Ref, Result, Row, Told, Work
from orchestrator.searching.searcher import Scope
from orchestrator.searching.searchers import SEARCHERS
from orchestrator.searching.space import Float, Parameter, Space
from orchestrator.searching.training import Training
from orchestrator.strategies.chains import Chain, Chains, Course
from orchestrator.strategies.trial_table import Status
from orchestrator.strategies.trials import Trials, TrialsSettings

SPACE = Space((Parameter("optimizer.lr", Float(0.0, 1.0)),))
COURSE = Course(Training({"name": "sgd", "lr": 0.1}, batch_size=10), "score")
SETTINGS = TrialsSettings(COURSE, trials=9, epochs=9.0, top=2, seeds=2, keep=3)
MORE_WAKES_THAN_A_RUN_HAS = 3000

Metrics = Callable[[Work], Mapping[str, float]]


def rate(work: Work) -> float:
    optimizer: Any = work.params["optimizer"]
    return float(optimizer["lr"])


def by_rate(work: Work) -> Mapping[str, float]:
    """Higher rates score higher, and longer training too."""
    return {"validation_score": rate(work) + float(str(work.params["end"])) / 1000}


@dataclass
class Run:
    """A whole search on the virtual pool; `metrics`: of a work of a trial, {} if it diverged."""

    method: str = "asha"
    settings: TrialsSettings = SETTINGS
    metrics: Metrics = by_rate
    workers: int = 3
    test_samples: float = 2500.0
    done: list[Work] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    most_held: int = 0

    def __post_init__(self) -> None:
        scope = Scope(SPACE, 1, self.settings.trials, self.settings.epochs)
        self.trials = Trials(self.settings, SEARCHERS[self.method](scope))

    def execute(self, work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        self.done.append(work)
        if work.kind == "init":
            return {"weights": Ref("0.weights")}, {"test_samples": self.test_samples}
        if work.kind == "evaluate":
            return {}, {"score": 0.5, "samples": float(str(work.params["count"]))}
        metrics = self.metrics(work)
        outputs = {name: Ref(f"{work.id}.{name}") for name in ("weights", "optimizer")} if metrics else {}
        return outputs, {"diverged": float(not metrics), "samples": 10.0, **metrics}

    def go(self) -> Run:
        core = Core(self.trials, First())
        kinds = {"init": Constant(0.1), "evaluate": Constant(0.05)}
        pool = VirtualPool(self.workers, self.execute, latency=Latency(ShiftedExponential(0.7), by_kind=kinds))
        for _ in range(MORE_WAKES_THAN_A_RUN_HAS):
            if core.finished:
                return self
            actions = core.handle(pool.wait(core.deadline_s))
            self.told.extend(actions.told)
            self.rows.extend(actions.rows)
            self.most_held = max(self.most_held, len(set(self.trials.held())))
            pool.submit(actions.submit)
        raise AssertionError("it does not end")

    def of(self, kind: str) -> list[Work]:
        return [work for work in self.done if work.kind == kind]


@pytest.mark.parametrize("method", sorted(SEARCHERS))
def test_it_chooses_the_best_tests_it_once_and_leaves_it_as_the_model(method: str) -> None:
    run = Run(method).go()
    chosen = run.trials.chosen
    best = max(run.trials.table.trials.values(), key=lambda trial: trial.score)
    assert chosen.config == best.config
    assert chosen.confirmed
    evaluations = run.of("evaluate")
    assert sorted(int(str(work.params["start"])) for work in evaluations) == [0, 1000, 2000]
    assert run.trials.model is not None
    assert {work.inputs["weights"] for work in evaluations} == {run.trials.model.weights}
    assert run.rows[-1].metrics == {"test_score": 0.5}
    assert run.rows[-2].metrics["chosen_trial"] == chosen.trial


def test_each_work_goes_on_where_the_one_before_ended_and_none_is_longer_than_asked() -> None:
    run = Run("random", replace(SETTINGS, course=replace(COURSE, every=2.0), top=0)).go()
    of_one = [work for work in run.of("trial") if work.params["number"] == 4]
    spans = [(work.params["start"], work.params["end"]) for work in of_one]
    assert spans == [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 9.0)]
    assert of_one[0].inputs == {}
    for before, work in pairwise(of_one):
        assert work.inputs == {"weights": f"{before.id}.weights", "optimizer": f"{before.id}.optimizer"}
    assert run.trials.table.trials[4].points == [
        (end, by_rate(of_one[i])["validation_score"]) for i, (_, end) in enumerate(spans)
    ]


def test_different_samples_are_trained_with_their_own_settings() -> None:
    run = Run("random").go()
    rates = {work.params["number"]: rate(work) for work in run.of("trial")}
    assert len(set(rates.values())) == 9 == len({number: r for number, r in rates.items() if int(str(number)) < 9})


def test_candidates_are_confirmed_from_scratch_on_the_same_seeds_that_no_trial_had() -> None:
    run = Run().go()
    confirming = [work for work in run.of("trial") if int(str(work.params["number"])) >= 9]
    begun = [(rate(work), work.params["number"]) for work in confirming if not work.inputs]
    rates = [run.trials.table.trials[trial].config["optimizer.lr"] for trial in run.trials.candidates]
    assert sorted(begun) == sorted((float(str(r)), number) for r in rates for number in (9, 10))


def test_the_mean_over_seeds_decides_and_not_the_luckiest_run() -> None:
    rates = [float(str(Scope(SPACE, 1, 9, 9.0).config(trial)["optimizer.lr"])) for trial in range(9)]

    def lucky(work: Work) -> Mapping[str, float]:
        """The highest rate is the best trial and has the best run of all, and one that is no good."""
        if rate(work) < max(rates):
            return {"validation_score": 0.5 + rate(work) / 10}
        return {"validation_score": 0.1 if work.params["number"] == 9 else 0.95}

    run = Run("random", metrics=lucky).go()
    assert run.trials.candidates[0] == rates.index(max(rates))
    assert run.trials.chosen.trial == run.trials.candidates[1]


def test_without_confirmation_the_best_trials_own_weights_are_the_model() -> None:
    run = Run(settings=replace(SETTINGS, top=0, seeds=0)).go()
    (best,) = run.trials.table.best(1)
    assert not run.trials.chosen.confirmed
    assert run.trials.model is not None
    assert run.trials.model.weights == best.weights
    assert all(int(str(work.params["number"])) < 9 for work in run.of("trial"))


def test_less_is_better_where_the_spec_says_so() -> None:
    run = Run("random", replace(SETTINGS, course=replace(COURSE, mode="min"))).go()
    rates = [float(str(trial.config["optimizer.lr"])) for trial in run.trials.table.trials.values()]
    assert run.trials.chosen.config["optimizer.lr"] == min(rates)
    best = [row.metrics["best_score"] for row in run.rows if "best_score" in row.metrics]
    assert best == sorted(best, reverse=True)


def test_without_test_data_it_ends_with_the_choice() -> None:
    run = Run(test_samples=0.0).go()
    assert not run.of("evaluate")
    assert "chosen_trial" in run.rows[-1].metrics


def test_what_is_held_at_once_is_bounded_by_what_may_go_on_and_what_is_kept() -> None:
    run = Run("random", replace(SETTINGS, trials=60, top=0), workers=4).go()
    assert run.most_held <= 2 * 4 + 2 * 4 + 3  # running, their inputs, the three best


def test_trials_that_diverge_are_results_and_the_search_goes_on() -> None:
    run = Run(metrics=lambda work: {} if rate(work) > 0.5 else by_rate(work)).go()
    trials = run.trials.table.trials.values()
    assert {trial.status for trial in trials} == {Status.DIVERGED, Status.STOPPED, Status.DONE}
    assert all(
        (trial.status is Status.DIVERGED) == (float(str(trial.config["optimizer.lr"])) > 0.5) for trial in trials
    )
    assert float(str(run.trials.chosen.config["optimizer.lr"])) <= 0.5


def test_a_trial_that_fails_for_good_is_left_behind() -> None:
    class Small(Run):
        def execute(self, work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
            if work.kind == "trial" and rate(work) > 0.8:
                raise WorkFailed(Failure(Cause.OUT_OF_MEMORY, "too wide"))
            return super().execute(work)

    run = Small("random").go()
    trials = run.trials.table.trials.values()
    assert {trial.status for trial in trials if float(str(trial.config["optimizer.lr"])) > 0.8} == {Status.FAILED}
    assert float(str(run.trials.chosen.config["optimizer.lr"])) <= 0.8


def test_a_trial_whose_model_does_not_fit_is_a_result_even_if_every_worker_had_one() -> None:
    class Small(Run):
        def execute(self, work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
            if work.kind == "trial" and rate(work) > 0.3:
                return {}, {"out_of_memory": 1.0}
            return super().execute(work)

    run = Small("random").go()
    trials = run.trials.table.trials.values()
    assert {trial.status for trial in trials} == {Status.FAILED, Status.DONE}
    assert float(str(run.trials.chosen.config["optimizer.lr"])) <= 0.3


def test_if_every_trial_diverges_the_run_fails_and_says_what_to_do() -> None:
    with pytest.raises(
        RunFailed, match=r"not one of 9 trials can be used: 0 failed, the others diverged. Look for smaller"
    ):
        Run(metrics=lambda work: {}).go()


def test_if_every_confirming_run_diverges_the_best_trial_itself_is_chosen() -> None:
    run = Run(metrics=lambda work: {} if int(str(work.params["number"])) >= 9 else by_rate(work)).go()
    assert not run.trials.chosen.confirmed
    assert run.trials.chosen.trial == run.trials.table.best(1)[0].trial


def test_a_metric_that_the_task_does_not_have_ends_the_run_and_names_those_it_has() -> None:
    with pytest.raises(RunFailed, match=r"have no 'score', which search.metric asks for; they are: accuracy, loss"):
        Run(metrics=lambda work: {"validation_loss": 1.0, "validation_accuracy": 0.5}).go()


def test_a_trial_goes_on_where_its_checkpoint_is_warm_if_it_can() -> None:
    run = Run(settings=replace(SETTINGS, course=replace(COURSE, every=1.0)), workers=1).go()
    assert all(work.place.prefer for work in run.of("trial") if work.inputs)


def test_a_work_is_given_up_only_after_a_time_that_grows_with_its_epochs_and_the_slowest_so_far() -> None:
    chains, course = Chains(), replace(COURSE, every=4.0)
    for key, end in enumerate((1.0, 8.0, 1.0)):
        chains.begin(Chain(key, key, {}, end))
    first = chains.ask(0, course)
    assert first.timeout_s is None  # nobody knows yet what is long
    outputs = {"weights": Ref("0.weights"), "optimizer": Ref("0.optimizer")}
    chains.tell(Told(first, Result(0, 1, "w", outputs, {}, 50.0, 50.0), 0.0))
    assert chains.ask(1, course).timeout_s == 100 * 50.0 * 4.0
    assert chains.ask(2, replace(course, deadline=False)).timeout_s is None
