"""AutoHAS's updates: what candidates share, what counts, when it ends, and what is then confirmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Any

import pytest

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.pools.execute import WorkFailed
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import VirtualPool
from orchestrator.quorum import make_quorum
from orchestrator.records import Cause, Failure, Row, Told, Work
from orchestrator.searching.architectures import architectures, searches_training
from orchestrator.searching.basis import basis
from orchestrator.searching.space import Choice, Float, Option, Parameter, Space
from orchestrator.searching.training import Training
from orchestrator.strategies import Autohas
from orchestrator.strategies.autohas import Weights
from orchestrator.values.memory import MemoryValues
from tests.support.toys.autohas import KINDS, strategy
from tests.support.toys.case import Answer, execute

Kind = Callable[[Mapping[str, Any], Any, int, int], Answer]


@dataclass(frozen=True, slots=True)
class Played:
    """A run on the virtual pool: all works asked and told, and the rows."""

    asked: Sequence[Work]
    told: Sequence[Told]
    rows: Sequence[Row]
    values: MemoryValues

    def of(self, kind: str) -> list[Work]:
        return [work for work in self.asked if work.kind == kind]

    def updates(self) -> list[list[Work]]:
        rounds: dict[int, list[Work]] = {}
        for work in self.of("candidate"):
            rounds.setdefault(work.round, []).append(work)
        return list(rounds.values())

    def last(self, metric: str) -> float:
        return next(row.metrics[metric] for row in reversed(self.rows) if metric in row.metrics)


def play(
    autohas: Autohas, quorum: str = "full", kinds: Mapping[str, Kind] | None = None, workers: int = 4, **options: Any
) -> Played:
    values = MemoryValues()
    do = execute({**KINDS, **(kinds or {})}, values, seed=7)
    latency = Latency(ShiftedExponential(0.7), by_kind={kind: Constant(0.01) for kind in ("init", "share")})
    pool = VirtualPool(workers, do, seed=7, latency=latency)
    core = Core(autohas, make_quorum(quorum, **options), seed=7)
    asked: list[Work] = []
    told: list[Told] = []
    rows: list[Row] = []
    while not core.finished:
        actions = core.handle(pool.wait(core.deadline_s))
        asked.extend(assignment.work for assignment in actions.submit)
        told.extend(actions.told)
        rows.extend(actions.rows)
        pool.submit(actions.submit)
    return Played(asked, told, rows, values)


def fresh(**changes: Any) -> Autohas:
    made = strategy("fresh", late=True)
    return Autohas(replace(made.settings, **changes))


def test_candidates_of_an_update_differ_in_nothing_but_their_configuration() -> None:
    played = play(strategy("fresh", late=True))
    assert len(played.updates()) == 12
    draws = set()
    for works in played.updates():
        assert len(works) == 4
        chance = {tuple(work.params[key] for key in ("draw", "epoch", "block", "start", "count")) for work in works}
        assert len(chance) == 1
        draws |= chance
    assert len(draws) == 12
    configurations = {str(work.params["optimizer"]) + str(work.params["model"]) for work in played.of("candidate")}
    assert len(configurations) > 4


@pytest.mark.parametrize("weights", ["fresh", "young", "kept"])
def test_equal_seeds_ask_equal_works_and_others_do_not(weights: Weights) -> None:
    first, again = play(strategy(weights, late=True)), play(strategy(weights, late=True))
    assert first.asked == again.asked
    assert first.rows == again.rows
    other = Autohas(replace(strategy(weights, late=True).settings, seed=4))
    assert [work.params for work in play(other).asked] != [work.params for work in first.asked]


def test_a_full_quorum_learns_the_same_with_any_number_of_workers() -> None:
    policies = []
    for workers in (1, 3, 8):
        autohas = strategy("young", late=True)
        play(autohas, workers=workers)
        policies.append(autohas.policy.state_dict())
    assert policies[0] == policies[1] == policies[2]


def test_fresh_candidates_share_nothing() -> None:
    played = play(strategy("fresh", late=True))
    assert not played.of("share")
    assert all(not work.inputs for work in played.of("candidate"))


def test_young_weights_are_made_anew_and_learn_in_between() -> None:
    played = play(strategy("young", late=True))
    made = [work for work in played.of("share") if not work.inputs]
    assert [work.round for work in made] == [1, 4, 7, 10]
    assert all(work.params["models"] == [] and work.params["all_models"] for work in made)
    learnt = [work for work in played.of("share") if work.inputs]
    assert [work.round for work in learnt] == [1, 2, 4, 5, 7, 8, 10, 11]  # not where the next would throw it away
    for work in learnt:
        tried = [candidate.params["model"] for candidate in played.of("candidate") if candidate.round == work.round]
        assert work.params["models"] == tried
        assert work.params["optimizer"] == {"name": "sgd", "lr": 0.1}
    assert len({work.inputs["shared"] for work in played.of("candidate")}) == 12


def test_kept_weights_are_made_once_and_warmed_up_before_the_first_update() -> None:
    played = play(strategy("kept", late=True))
    shares = played.of("share")
    assert [work.round for work in shares if not work.inputs] == [1]
    assert min(work.round for work in played.of("candidate")) == 4
    assert [work.round for work in shares] == list(range(1, 15))  # all but the last, which nobody would use
    assert shares[0].params["all_models"] == [{"depth": depth} for depth in (1, 2, 3)]


def test_what_diverges_counts_as_zero_and_what_fails_not_at_all() -> None:
    def candidate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
        if params["model"]["depth"] == 1:
            raise WorkFailed(Failure(Cause.NON_FINITE, "not of this world"))
        if params["model"]["depth"] == 2:
            return {}, {"diverged": 1.0, "steps": 1.0}
        return {}, {"diverged": 0.0, "steps": 5.0, "validation_loss": 0.0}

    space = Space((Parameter("model.depth", Choice.of(1, 2, 3)),))
    played = play(fresh(decisions=basis(space, 1), updates=6, candidates=8), kinds={"candidate": candidate})
    for row, works in zip(played.rows, played.updates(), strict=False):
        depths = [work.params["model"]["depth"] for work in works]  # type: ignore[index,call-overload]
        assert row.metrics["waited_for"] == 8 - depths.count(1)
        assert row.metrics["diverged"] == pytest.approx(depths.count(2) / (8 - depths.count(1)))
        assert row.metrics["reward"] == pytest.approx(depths.count(3) / (8 - depths.count(1)))


def test_an_update_of_which_nothing_comes_is_tried_again_and_ends_the_run_at_last() -> None:
    failing = {3: 2}  # the round, and how often

    def candidate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
        nonlocal failing
        if params["epoch"] + 1 in failing:
            raise WorkFailed(Failure(Cause.BAD_REPLY, "out of luck"))
        return {}, {"diverged": 0.0, "steps": 5.0, "validation_loss": 1.0}

    with pytest.raises(RunFailed, match="all candidates of update 3 failed 3 times: bad reply: out of luck"):
        play(strategy("fresh", late=True), kinds={"candidate": candidate})


def test_late_results_count_in_the_next_update_or_never() -> None:
    used = play(strategy("fresh", late=True), "static", k=2)
    late = [row.metrics["late"] for row in used.rows if "late" in row.metrics]
    assert late[0] == 0
    assert max(late) > 0
    dropped = play(strategy("fresh", late=False), "static", k=2)
    assert all(row.metrics["late"] == 0 for row in dropped.rows if "late" in row.metrics)
    assert all(row.metrics["waited_for"] == 2 for row in dropped.rows if "late" in row.metrics)


def test_the_cost_is_counted_in_steps_with_an_evaluation_as_a_third_of_one() -> None:
    played = play(fresh(updates=2, validation=30))
    diverged = sum(told.result.metrics["diverged"] for told in played.told if told.work.kind == "candidate")
    assert played.last("cost_steps") == pytest.approx(8 * 5 + 8 * 30 / (3 * 10) - 4 * diverged)


def test_a_validation_window_lies_within_what_there_is() -> None:
    starts = {work.params["start"] for work in play(fresh(validation=256)).of("candidate")}
    assert len(starts) > 6
    assert all(0 <= int(str(start)) <= 1500 - 256 for start in starts)
    assert {work.params["start"] for work in play(fresh(validation=9999)).of("candidate")} == {0}


def test_it_stops_when_one_configuration_is_likely_enough() -> None:
    played = play(fresh(confident=0.3, updates=500))
    assert len(played.updates()) < 500
    confidences = [row.metrics["confidence"] for row in played.rows if "confidence" in row.metrics]
    assert confidences[-1] > 0.3
    assert all(confidence <= 0.3 for confidence in confidences[:-1])


def test_favourites_are_confirmed_on_equal_seeds_and_the_best_mean_is_tested_once() -> None:
    autohas = strategy("fresh", late=True)
    played = play(autohas)
    firsts = [work for work in played.of("trial") if not work.inputs]
    assert [work.params["number"] for work in firsts] == [0, 1, 0, 1]
    finals: dict[str, list[float]] = {}
    for told in played.told:
        if told.work.kind == "trial" and told.work.params["end"] == 1.0:
            key = f"{told.work.params['optimizer']} {told.work.params['model']}"
            finals.setdefault(key, []).append(told.result.metrics["validation_loss"])
    assert [len(losses) for losses in finals.values()] == [2, 2]
    best = min(finals.values(), key=sum)
    assert played.last("validation_loss") == pytest.approx(sum(best) / 2)
    assert autohas.model is not None
    assert sum(int(str(work.params["count"])) for work in played.of("evaluate")) == 2100
    assert {work.inputs["weights"] for work in played.of("evaluate")} == {autohas.model.weights}
    assert [trial.status for trial in autohas.table.trials.values()] == ["done"] * 4
    assert len(autohas.table.best(9)) == 2  # keep


def test_it_finds_what_is_best() -> None:
    autohas = fresh(updates=200, candidates=8)
    play(autohas)
    assert autohas.model is not None
    assert autohas.model.arguments == {"depth": 1}


def test_a_metric_that_the_task_has_not_ends_the_run_with_those_it_has() -> None:
    def candidate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
        return {}, {"diverged": 0.0, "steps": 5.0, "validation_accuracy": 0.5}

    with pytest.raises(RunFailed, match=r"no 'loss'.*they are: accuracy"):
        play(strategy("fresh", late=True), kinds={"candidate": candidate})


def test_a_small_loss_is_a_large_reward() -> None:
    losses = iter([0.0, 1.0, 2.0, 1e9] * 100)

    def candidate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
        return {}, {"diverged": 0.0, "steps": 5.0, "validation_loss": next(losses)}

    played = play(fresh(updates=1), kinds={"candidate": candidate})
    assert played.rows[0].metrics["reward"] == pytest.approx((1 + exp(-1) + exp(-2)) / 4)


def test_without_validation_samples_nothing_can_be_rewarded() -> None:
    def init(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
        outputs, metrics = KINDS["init"](inputs, params, seed, work_id)
        return outputs, {**metrics, "validation_samples": 0.0}

    with pytest.raises(RunFailed, match="no validation samples"):
        play(strategy("fresh", late=True), kinds={"init": init})


def test_figures_tell_of_each_decision_with_a_choice() -> None:
    played = play(strategy("fresh", late=True))
    first, last = played.rows[0].metrics, played.rows[11].metrics
    assert {"entropy/optimizer.lr", "most/optimizer.lr", "mean_log10/optimizer.lr", "most/model.depth"} <= first.keys()
    assert last["entropy/optimizer.lr"] < first["entropy/optimizer.lr"]
    assert -2 <= last["mean_log10/optimizer.lr"] <= 1


# -- architectures --------------------------------------------------------------------------------------------------

TRAINING = Training({"name": "sgd", "lr": 0.1}, batch_size=10, model={"activation": "relu"})
RATE = Parameter("optimizer.lr", Float(0.01, 1.0, log=True))


def test_architectures_are_all_that_can_be_built_each_once() -> None:
    deep = Option("deep", (Parameter("model.depth", Choice.of(2, 3)), RATE))
    space = Space((Parameter("model.kind", Choice((Option("flat"), deep))), Parameter("model.width", Choice.of(4, 8))))
    found = architectures(basis(space, 5), TRAINING, limit=10)
    flat = [{"activation": "relu", "kind": "flat", "width": width} for width in (4, 8)]
    deeper = [{"activation": "relu", "kind": "deep", "depth": d, "width": w} for d in (2, 3) for w in (4, 8)]
    assert found == [*flat, *deeper]
    assert len(architectures(basis(space, 5), TRAINING, limit=3)) == 4


def test_an_architecture_may_hang_on_what_is_none() -> None:
    decay = Option("adamw", (Parameter("model.norm", Choice.of(True, False)),))
    space = Space((Parameter("optimizer.name", Choice((Option("sgd"), decay))), RATE))
    found = architectures(basis(space, 3), TRAINING, limit=10)
    assert found == [{"activation": "relu"}, *({"activation": "relu", "norm": norm} for norm in (True, False))]


def test_training_is_searched_where_something_else_than_the_model_varies() -> None:
    width = Parameter("model.width", Choice.of(4, 8))
    assert searches_training(basis(Space((width, RATE)), 3))
    assert not searches_training(basis(Space((width, Parameter("batch_size", Choice.of(64)))), 3))
