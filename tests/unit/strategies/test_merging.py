"""A merge chooses by validation data alone: whoever answers first, and however many workers there are."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunFailed
from orchestrator.records import Cause, Counts, Failure, Result, Row, Told, Work
from orchestrator.strategies.merging import Merging
from orchestrator.strategies.merging_settings import MergingSettings, Wanted
from tests.support.toys.case import Kinds
from tests.support.toys.merge import KINDS, strategy

ALL = ("uniform", "greedy_soup", "task_arithmetic", "ensemble", "atlas")


class Workers:
    """So many idle workers: what `ask` is handed."""

    def __init__(self, count: int) -> None:
        self.names = [f"w{number}" for number in range(max(0, count))]

    def __iter__(self) -> Any:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, worker: object) -> bool:
        return worker in self.names

    def __getitem__(self, worker: str) -> int:
        return 1

    @property
    def fresh(self) -> Sequence[str]:
        return self.names


class Play:
    """Answers a strategy's works on the bowl in an order drawn from a seed, `workers` of them at a time."""

    def __init__(self, merging: Merging, seed: int = 0, workers: int = 3, kinds: Kinds = KINDS) -> None:
        self.merging, self.draw, self.workers, self.kinds = merging, random.Random(seed), workers, kinds
        self.values: dict[str, Any] = {}
        self.works: list[Work] = []
        self.rows: list[Row] = []
        self.fail: Callable[[Work], bool] = lambda work: False

    def to_end(self) -> Play:
        waiting: list[Work] = []
        while not self.merging.finished:
            asked = self.merging.ask(Workers(self.workers - len(waiting)))
            assert [work.id for work in asked] == list(range(len(self.works), len(self.works) + len(asked)))
            self.works.extend(asked)
            waiting.extend(asked)
            assert waiting, "nothing is asked and it is not finished"
            work = waiting.pop(self.draw.randrange(min(self.workers, len(waiting))))
            missing = {ref for ref in work.inputs.values() if not ref.startswith("given")} - self.values.keys()
            assert not missing
            self.rows.extend(self.merging.tell([self.answer(work)]))
            held = set(self.merging.held()) | {ref for other in waiting for ref in other.inputs.values()}
            self.values = {ref: value for ref, value in self.values.items() if ref in held}
        return self

    def answer(self, work: Work) -> Told:
        if self.fail(work):
            failure = Failure(Cause.LOST_WORKER, "gone")
            return Told(work, Result(work.id, 1, "w", {}, {}, 0.0, 0.0, failure), 0.0)
        inputs = {name: self.values[ref] for name, ref in work.inputs.items() if ref in self.values}
        outputs, metrics = self.kinds[work.kind](inputs, dict(work.params), 7, work.id)
        refs = {name: f"{work.id}.{name}" for name in outputs}
        self.values.update({refs[name]: value for name, value in outputs.items()})
        return Told(work, Result(work.id, 1, "w", refs, metrics, 0.0, 0.0), 0.0)  # type: ignore[arg-type]


def story(merging: Merging) -> Any:
    """All that people are told at the end."""
    return [
        (entry.label, entry.members, entry.metrics, entry.note)
        for entry in (*merging.sources, *merging.candidates, merging.chosen, merging.best_source)
        if entry is not None
    ]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), workers=st.integers(1, 9))
def test_the_outcome_depends_on_neither_the_order_of_answers_nor_the_workers(seed: int, workers: int) -> None:
    first = Play(strategy(*ALL)).to_end()
    other = Play(strategy(*ALL), seed, workers).to_end()
    assert story(other.merging) == story(first.merging)
    assert other.rows[-1].metrics == first.rows[-1].metrics


@pytest.mark.parametrize("recipe", ALL)
def test_each_recipe_alone_comes_to_a_model(recipe: str) -> None:
    play = Play(strategy(recipe)).to_end()
    model = play.merging.model
    assert model is not None
    assert model.weights in play.values
    assert ("ensemble.members" in model.arguments) == (recipe == "ensemble")


def test_the_chosen_candidate_is_the_best_and_of_equals_the_first() -> None:
    merging = Play(strategy(*ALL)).to_end().merging
    losses = [entry.metrics["validation"]["loss"] for entry in merging.candidates]
    assert merging.chosen is merging.candidates[losses.index(min(losses))]
    assert merging.best_source is not None
    assert merging.best_source.metrics["validation"]["loss"] == min(
        source.metrics["validation"]["loss"] for source in merging.sources
    )


def test_a_greedy_soup_is_no_worse_than_its_best_source() -> None:
    merging = Play(strategy("greedy_soup")).to_end().merging
    assert merging.chosen is not None
    assert merging.best_source is not None
    for split in ("validation", "test"):
        assert merging.chosen.metrics[split]["loss"] <= merging.best_source.metrics[split]["loss"]


def test_only_the_chosen_and_the_best_source_meet_the_test_data() -> None:
    merging = Play(strategy(*ALL)).to_end().merging
    tested = [entry for entry in (*merging.sources, *merging.candidates) if "test" in entry.metrics]
    assert {id(entry) for entry in tested} == {id(merging.chosen), id(merging.best_source)}


def test_a_parent_that_diverged_is_left_out() -> None:
    play = Play(strategy("uniform")).to_end()
    assert [entry.label for entry in play.merging.sources] == ["parent 0", "parent 1", "parent 3", "parent 4"]
    (merge,) = [work for work in play.works if work.kind == "merge"]
    assert merge.params["sources"] == 4
    with pytest.raises(RunFailed, match="parent 0 diverged"):
        Play(strategy("uniform", count=1), kinds={**KINDS, "trial": KINDS_OF_DIVERGENCE}).to_end()


def KINDS_OF_DIVERGENCE(inputs: Any, params: Any, seed: int, work_id: int) -> Any:  # noqa: N802
    return ({}, {"diverged": 1.0}) if params["number"] else KINDS["trial"](inputs, params, seed, work_id)


def test_parents_may_start_from_fresh_weights_with_no_common_training() -> None:
    play = Play(strategy("uniform", start_epochs=0.0)).to_end()
    trials = [work for work in play.works if work.kind == "trial"]
    assert [work.params["number"] for work in trials] == [1, 2, 3, 4, 5]
    assert {work.inputs["weights"] for work in trials} == {"0.weights"}


def test_speculation_asks_only_while_a_worker_is_idle_and_is_told_to_nobody() -> None:
    alone, many = Play(strategy("greedy_soup"), workers=1).to_end(), Play(strategy("greedy_soup"), workers=8).to_end()
    merges = [sum(work.kind == "merge" for work in play.works) for play in (alone, many)]
    assert merges[0] == 3  # four parents: one best, three to try
    assert merges[1] > merges[0]
    assert [entry.label for entry in many.merging.candidates] == [entry.label for entry in alone.merging.candidates]


def test_an_evaluation_that_fails_is_asked_again_and_ends_the_run_at_last() -> None:
    play = Play(strategy("uniform"))
    failed: list[int] = []

    def twice(work: Work) -> bool:
        failed.extend([work.id] if work.kind == "evaluate" and len(failed) < 2 else [])
        return work.id in failed

    play.fail = twice
    play.to_end()
    assert len(failed) == 2
    play = Play(strategy("uniform"))
    play.fail = lambda work: work.kind == "evaluate"
    with pytest.raises(RunFailed, match="the validation evaluation from sample 0 on failed 3 times"):
        play.to_end()


def test_a_merge_that_fails_for_good_ends_the_run() -> None:
    play = Play(strategy("uniform"))
    play.fail = lambda work: work.kind == "merge"
    with pytest.raises(RunFailed, match=r"merge for candidate\.0 failed for good: lost worker: gone"):
        play.to_end()


def test_a_metric_that_the_task_does_not_have_ends_the_run_with_those_it_has() -> None:
    merging = strategy("uniform")
    merging.settings = MergingSettings([Wanted("uniform")], parents=merging.settings.parents, metric="accuracy")
    with pytest.raises(RunFailed, match="'accuracy', but the task's metrics are loss"):
        Play(merging).to_end()


def test_without_validation_data_nothing_can_be_chosen() -> None:
    def blind(inputs: Any, params: Any, seed: int, work_id: int) -> Any:
        outputs, metrics = KINDS["init"](inputs, params, seed, work_id)
        return outputs, {**metrics, "validation_samples": 0.0}

    with pytest.raises(RunFailed, match="no validation data"):
        Play(strategy("uniform"), kinds={**KINDS, "init": blind}).to_end()


def test_without_test_data_the_run_ends_with_what_validation_says() -> None:
    def untested(inputs: Any, params: Any, seed: int, work_id: int) -> Any:
        outputs, metrics = KINDS["init"](inputs, params, seed, work_id)
        return outputs, {**metrics, "test_samples": 0.0}

    play = Play(strategy("uniform"), kinds={**KINDS, "init": untested}).to_end()
    assert not any(name.startswith("test_") for name in play.rows[-1].metrics)


def test_given_sources_are_held_until_they_are_taken_in_and_each_keeps_its_own_arguments() -> None:
    arguments: list[Mapping[str, Any]] = [{"width": 1}, {"width": 2}]
    merging = Merging(
        MergingSettings(
            [Wanted("ensemble")],
            sources=[("one", arguments[0]), ("two", arguments[1])],
            with_base=True,
            metric="loss",
            mode="min",
        )
    )
    assert set(merging.held()) == {"given.source.0", "given.source.1", "given.base"}
    play = Play(merging).to_end()
    assert {work.kind: work.counts for work in play.works}["evaluate"] is Counts.ASIDE
    taken_in = [(dict(work.inputs), work.params["model"]) for work in play.works if work.kind == "init"]
    assert ({"given": "given.source.1"}, {"width": 2}) in taken_in
    assert merging.model is not None
    assert merging.model.arguments == {"ensemble.members": arguments}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_its_state_can_be_saved_and_loaded_at_any_moment(seed: int) -> None:
    play = Play(strategy(*ALL), seed)
    tell = play.merging.tell

    def reloaded(results: Sequence[Told]) -> Sequence[Row]:
        rows = tell(results)
        state = play.merging.state_dict()
        play.merging.load_state_dict(state)
        assert play.merging.state_dict() == state
        return rows

    play.merging.tell = reloaded  # type: ignore[method-assign]
    play.to_end()
    assert story(play.merging) == story(Play(strategy(*ALL)).to_end().merging)
