"""A simulation keeps to what is known of its world: equal workers, heavy tails, and runs whose time is known."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import simulate
from orchestrator.assemble import core_of
from orchestrator.local import Local
from orchestrator.pools.latency import Constant, Latency, Pareto
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.simulation import Assumptions, CannotSimulate, Simulated, simulated
from orchestrator.simulation.curve import fitted
from orchestrator.simulation.learner import Modelled
from orchestrator.simulation.measure import changed, probe
from orchestrator.simulation.observed import Watch
from orchestrator.simulation.play import play
from orchestrator.simulation.recorded import Recorded, note
from orchestrator.spec import Spec, StaticQuorum
from orchestrator.time_saved import Timings
from tests.support.runs import digits_spec

FEDERATION = Spec.model_validate({"task": "some:Task", "federate": {"workers": 2, "rounds": 1, "clients": 2}})
FIVE = StaticQuorum.model_validate({"static": {"k": 5}})


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    return digits_spec(tmp_path_factory.mktemp("state"), batch_size=10, quorum="dynamic", epochs=3)


@pytest.fixture(scope="module")
def tailed(spec: Spec) -> Simulated:
    return simulate(spec, workers=16, latency="pareto:1.5", step_seconds=0.1, price=3.6)


def test_equal_workers_answer_all_at_once_so_that_every_quorum_is_full(spec: Spec) -> None:
    result = simulate(spec, workers=6, latency="constant", step_seconds=0.5)
    for row in result.rows:
        assert row.rounds == 60
        assert row.finish_s == pytest.approx(30)
        assert row.goodput == 1
        assert row.busy == pytest.approx(1)


def test_where_times_have_a_heavy_tail_not_waiting_for_it_is_three_times_faster(tailed: Simulated) -> None:
    full, dynamic = tailed.row("full"), tailed.row("dynamic")
    assert full.target_s is not None
    assert dynamic.target_s is not None
    assert 3 * dynamic.target_s < full.target_s
    assert dynamic.chosen
    assert dynamic.goodput < full.goodput == 1


def test_each_row_is_consistent_with_its_points_and_its_cost(tailed: Simulated) -> None:
    for row in tailed.rows:
        assert row.worker_seconds == 16 * row.finish_s
        assert row.cost == pytest.approx(row.worker_seconds / 1000)
        assert row.points[-1].now_s <= row.finish_s
        assert row.loss == row.points[-1].loss
        assert 0 < row.busy <= row.goodput <= 1
    times = [row.target_s for row in tailed.rows if row.target_s is not None]
    assert times == sorted(times)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(spec: Spec, tailed: Simulated) -> None:
    assert simulate(spec, workers=16, latency="pareto:1.5", step_seconds=0.1, price=3.6) == tailed
    other = spec.model_copy(update={"seed": 1})
    assert simulate(other, workers=16, latency="pareto:1.5", step_seconds=0.1, price=3.6) != tailed


def test_failures_lose_work_and_time(spec: Spec) -> None:
    calm, stormy = (
        simulate(spec, workers=8, latency="constant", step_seconds=0.1, crash_every_hours=hours, restart_seconds=3)
        for hours in (0.0, 0.002)
    )
    for name in ("full", "static 4"):
        assert stormy.row(name).goodput < 1
        assert stormy.row(name).finish_s > calm.row(name).finish_s
        assert not stormy.row(name).failed


def test_workers_that_are_back_at_once_have_only_lost_what_they_were_at(spec: Spec) -> None:
    result = simulate(
        spec, workers=4, latency="constant", step_seconds=0.1, crash_every_hours=0.0005, restart_seconds=0.0
    )
    for row in result.rows:
        assert not row.failed
        assert not row.extrapolated
        assert row.goodput < 1
    assert result.row("full").rounds == 90


def test_real_gradients_come_with_the_figures_of_the_test_split(spec: Spec) -> None:
    result = simulate(changed(spec, epochs=0.5), workers=2, latency="constant", step_seconds=0.1, compute=True)
    for row in result.rows:
        assert 0 < row.metrics["test_accuracy"] <= 1
        assert not row.extrapolated


def test_local_steps_are_timed_here_and_computed(spec: Spec) -> None:
    local = changed(spec, epochs=1, local_steps=4)
    result = simulate(local, workers=2, latency="constant", compute=True)
    assert "measured here" in dict(result.assumed)["gradients"]
    assert result.row("full").rounds == 15  # of two blocks of 4 · 10 samples
    assert not any(row.failed for row in result.rows)


def test_quorums_that_late_gradients_may_not_be_interrupted_for_have_no_row(spec: Spec) -> None:
    interrupted = changed(spec, late="interrupt", micro_batch_size=5, epochs=1)
    names = {row.quorum for row in simulate(interrupted, workers=2, latency="constant", step_seconds=0.1).rows}
    assert names == {"full", "dynamic", "adasync", "static 1"}


def test_the_probe_sees_the_loss_fall_and_the_gradients_vary(spec: Spec) -> None:
    steps = probe(spec, Local(spec)).watch.steps
    assert len(steps) == 12
    assert steps[-1].loss < steps[0].loss
    for step in steps:
        assert step.k == 8
        assert step.variance is not None
        assert step.variance > 0
        assert step.reach == pytest.approx(10)  # momentum 0.9


def test_micro_batches_change_nothing_of_what_range_tests_find_on_the_curve(spec: Spec) -> None:
    seen = probe(spec, Local(spec)).watch
    whole, divided = (
        play(
            changed(spec, quorum=FIVE, workers=8, learning_rate_rule="knee", micro_batch_size=size),
            Modelled(fitted(seen.steps), seen.init, batch_size=10, seed=0),
            latency=Latency(Pareto(3.0, 0.2)),
            faults=Faults(),
        )
        for size in (None, 2)
    )
    assert divided.points == whole.points


@pytest.mark.parametrize("quorum", ["full", FIVE])
def test_a_traced_run_takes_the_time_that_it_took(spec: Spec, quorum: object) -> None:
    alike = changed(spec, quorum=quorum, workers=8, epochs=20)
    truth = Latency(Pareto(3.0, 0.2), factors={7: 2.0}, by_kind={"aggregate": Constant(0.05), "evaluate": Constant(0)})
    seen = probe(spec, Local(spec)).watch

    def learner() -> Modelled:
        return Modelled(fitted(seen.steps), seen.init, batch_size=10, seed=0)

    core, pool = core_of(alike), VirtualPool(8, learner().execute, seed=3, latency=truth)
    found, ended_s = Recorded("r", alike, Timings(), Watch()), 0.0
    while not core.finished:
        wake = pool.wait(core.deadline_s)
        actions = core.handle(wake)
        pool.submit(actions.submit)
        note(found, wake, actions)
        ended_s = wake.now_s
    again = play(alike, learner(), latency=found.latency(8), faults=Faults())
    assert again.now_s == pytest.approx(ended_s, rel=0.05)


@pytest.mark.parametrize(
    ("assumed", "sentence"),
    [
        ({}, "--latency or by --trace"),
        ({"latency": "parteo:1.5"}, "did you mean 'pareto'"),
        ({"latency": "pareto:1"}, "SHAPE above 1"),
        ({"latency": "uniform:2:1"}, "0 < LOW <= HIGH"),
        ({"latency": "exponential:x"}, "not of the form exponential:SPREAD"),
        ({"latency": "constant", "slow": "9:5"}, "more workers slow than there are"),
        ({"latency": "constant", "slow": "1.5:5"}, "N:FACTOR"),
        ({"latency": "constant", "step_seconds": 0.0}, "must be above 0"),
        ({"latency": "constant", "price": -1.0}, "cannot be below 0"),
        ({"latency": "constant", "step_seconds": 9.0, "crash_every_hours": 0.001}, "give more hours"),
    ],
)
def test_what_cannot_be_simulated_is_told_in_a_sentence(spec: Spec, assumed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CannotSimulate) as raised:
        simulate(spec, **assumed)
    assert sentence in str(raised.value)
    assert raised.value.exit_code == 2


def test_other_verbs_are_not_simulated() -> None:
    with pytest.raises(CannotSimulate, match="this spec is federate, and simulate plays train specs"):
        simulated(FEDERATION, Assumptions("constant"))
