"""What federations ask, adopt and give up, on the virtual pool: histories of toy runs, judged afterwards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from orchestrator.core import Core
from orchestrator.core.placement import IdleWorkers
from orchestrator.errors import RunFailed
from orchestrator.pools.execute import WorkFailed
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.protocols import Quorum, Strategy
from orchestrator.quorum import Deadline, make_quorum
from orchestrator.records import Actions, Cause, Decided, Failure, Ref, Result, Row, Told, Wake, Work
from orchestrator.strategies import BufferedFederation, Federation
from orchestrator.strategies.federated import Sent, figures, gradient_signals, local_params
from orchestrator.strategies.versions import Versions
from orchestrator.values.memory import MemoryValues
from tests.support.toys import federate
from tests.support.toys.case import execute

MORE_WAKES_THAN_A_RUN_HAS = 3000
QUICK = {kind: Constant(0.01) for kind in ("init", "partition", "combine", "evaluate")}
STORM = Faults(crash=0.05, back_s=1.5, duplicate=0.1, slow=0.1)
SEEDS = st.integers(0, 10**6)
some = settings(max_examples=25, deadline=None)


@dataclass
class History:
    """A whole run, as an observer saw it."""

    values: MemoryValues
    works: dict[int, Work] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    most_out: int = 0
    decided: list[Decided] = field(default_factory=list)

    def asked(self, round_: int) -> list[str]:
        works = (work for work in self.works.values() if work.kind == "local_update" and work.round == round_)
        return [str(work.params["client"]) for work in works]

    def combined(self) -> list[Work]:
        return [work for work in self.works.values() if work.kind == "combine"]

    def rounds(self) -> list[Row]:
        return [row for row in self.rows if "round" in row.metrics]


def run(
    strategy: Strategy,
    quorum: Quorum,
    *,
    seed: int = 0,
    workers: int = 5,
    faults: Faults | None = None,
    fails: Callable[[Work], Cause | None] = lambda work: None,
    slow: Mapping[int, float] | None = None,
) -> History:
    """The toy federation to its end. slow: factors of workers."""
    values = MemoryValues()
    do = execute(federate.KINDS, values, seed)

    def do_or_fail(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        if (cause := fails(work)) is not None:
            raise WorkFailed(Failure(cause, f"so it is with work {work.id}"))
        return do(work)

    latency = Latency(ShiftedExponential(0.7), factors=slow or {}, by_kind=QUICK)
    pool = VirtualPool(workers, do_or_fail, seed=seed, latency=latency, faults=faults)
    core, history = Core(strategy, quorum, seed=seed), History(values)
    out: dict[int, str] = {}
    for _ in range(MORE_WAKES_THAN_A_RUN_HAS):
        if core.finished:
            return history
        wake = pool.wait(core.deadline_s)
        actions = core.handle(wake)
        pool.cancel(actions.cancel)
        pool.submit(actions.submit)
        _note(history, wake, actions, out)
    raise AssertionError("it goes on and on")


def stormy(strategy: Strategy, quorum: Quorum, seed: int, faults: Faults | None) -> History:
    """As `run`; a storm that takes the aggregator three times from one combination ends the run, and rightly."""
    try:
        return run(strategy, quorum, seed=seed, faults=faults)
    except RunFailed as failed:
        if "failed for good" in failed.reason:
            reject()
        raise


def _note(history: History, wake: Wake, actions: Actions, out: dict[int, str]) -> None:
    for event in wake.events:
        if isinstance(event, Result):
            out.pop(event.work_id, None)
    for assignment in actions.submit:
        history.works[assignment.work.id] = assignment.work
        if assignment.work.kind == "local_update":
            out[assignment.work.id] = str(assignment.work.params["client"])
    history.most_out = max(history.most_out, len(out))
    history.told.extend(told.work.id for told in actions.told if told.result.failure is None)
    history.rows.extend(actions.rows)
    history.decided.extend(actions.decided)


def updates_of(combine: Work) -> Any:
    return combine.params["updates"]


QUORUMS = st.sampled_from(
    [make_quorum("full"), make_quorum("static", k=4), make_quorum("rate"), Deadline(make_quorum("full"), 0.7, 2)]
)


@some
@given(SEEDS, QUORUMS, st.sampled_from([None, STORM]))
def test_every_round_combines_updates_of_different_clients_all_from_the_newest_weights(
    seed: int, quorum: Quorum, faults: Faults | None
) -> None:
    history = stormy(Federation(federate.settings("fedlaw")), quorum, seed, faults)
    assert [row.step for row in history.rounds()] == list(range(1, 9))
    weights = Ref("0.weights")
    for number, combine in enumerate(history.combined(), start=1):
        updates = updates_of(combine)
        clients = [update["client"] for update in updates]
        assert 1 <= len(clients) == len(set(clients)) <= 6
        assert combine.inputs["weights"] == weights
        assert set(clients) <= set(history.asked(number))
        assert {history.works[update["id"]].inputs["weights"] for update in updates} == {weights}
        weights = Ref(f"{combine.id}.weights")


@some
@given(SEEDS, QUORUMS, st.sampled_from([None, STORM]))
def test_what_clients_remember_is_adopted_exactly_when_they_are_counted(
    seed: int, quorum: Quorum, faults: Faults | None
) -> None:
    """Each counted visit adds one to the client's own count and to the server's: SCAFFOLD's invariant in small."""
    strategy = Federation(federate.settings("scaffold"))
    history = stormy(strategy, quorum, seed, faults)
    state: Any = strategy.state_dict()
    remembered = {client: int(history.values.get(ref)["visits"]) for client, ref in state["memory"].items()}
    counted = Counter(update["client"] for combine in history.combined() for update in updates_of(combine))
    assert remembered == dict(counted)
    assert int(history.values.get(state["server"])["visits"]) == sum(counted.values())


@some
@given(SEEDS)
def test_the_clients_of_a_round_depend_on_seed_and_round_alone(seed: int) -> None:
    """Not on workers, speeds or quorums."""
    one = run(Federation(federate.settings("fedlaw")), make_quorum("full"), seed=seed, workers=3)
    other = run(Federation(federate.settings("fedlaw")), make_quorum("static", k=6), seed=seed + 1, workers=9)
    drawn = [[sorted(history.asked(number)) for number in range(1, 9)] for history in (one, other)]
    assert drawn[0] == drawn[1]
    assert all(len(set(clients)) == 6 for clients in drawn[0])
    assert len({tuple(clients) for clients in drawn[0]}) > 1


def test_with_all_clients_needed_every_round_asks_each_once() -> None:
    whole = federate.settings("fedlaw", asked=federate.CLIENTS, needed=federate.CLIENTS)
    history = run(Federation(whole), make_quorum("full"))
    for number in range(1, 9):
        assert sorted(history.asked(number), key=int) == [str(client) for client in range(federate.CLIENTS)]


def test_over_sampling_goes_on_without_the_slowest() -> None:
    history = run(Federation(federate.settings("fedlaw", asked=6, needed=4)), make_quorum("static", k=4), workers=6)
    assert [row.metrics["counted"] for row in history.rounds()] == [4.0] * 8


@pytest.mark.parametrize("quorum", ["rate", "dynamic"])
def test_a_quorum_that_learns_has_seen_enough_after_a_round_and_leaves_a_slow_worker_behind(quorum: str) -> None:
    strategy = Federation(federate.settings("fedlaw", asked=5, needed=5))
    decided = run(strategy, make_quorum(quorum), slow={3: 20.0}).decided
    assert "no statistics yet" in decided[0].decision.why
    assert all("no statistics yet" not in each.decision.why for each in decided[1:])
    assert {each.present for each in decided} == {5}
    assert all(each.decision.wait_for < 5 for each in decided[1:])


def test_a_deadline_closes_a_round_with_what_is_there() -> None:
    quorum = Deadline(make_quorum("full"), 1.2, 1)
    history = run(Federation(federate.settings("fedlaw")), quorum, workers=6, faults=Faults(slow=0.3))
    counted = [row.metrics["counted"] for row in history.rounds()]
    assert min(counted) < 6
    assert len(counted) == 8


def test_evaluations_come_every_few_rounds_and_the_test_once_at_the_end() -> None:
    history = run(Federation(federate.settings("fedlaw")), make_quorum("full"))
    steps = {
        name: [row.step for row in history.rows if f"{name}_loss" in row.metrics] for name in ("validation", "test")
    }
    assert steps == {"validation": [3, 6], "test": [8]}


def test_the_learning_rate_falls_from_round_to_round() -> None:
    history = run(Federation(federate.settings("fedlaw")), make_quorum("full"))
    rates = defaultdict(set)
    for work in history.works.values():
        if work.kind == "local_update":
            optimizer: Any = work.params["optimizer"]
            rates[work.round].add(optimizer["lr"])
    assert {round_: lr for round_, (lr,) in rates.items()} == {n: 0.1 * 0.99 ** (n - 1) for n in range(1, 9)}


def test_a_client_that_fails_is_not_counted() -> None:
    def fails(work: Work) -> Cause | None:
        return Cause.NON_FINITE if work.params.get("client") == "3" else None

    history = run(Federation(federate.settings("fedlaw")), make_quorum("full"), fails=fails)
    asked = sum("3" in history.asked(number) for number in range(1, 9))
    assert asked > 0
    assert sum(row.metrics["counted"] for row in history.rounds()) == 8 * 6 - asked


def test_a_round_in_which_all_clients_fail_draws_others() -> None:
    failed: list[int] = []

    def fails(work: Work) -> Cause | None:
        if work.kind == "local_update" and work.round == 2 and len(failed) < 6:
            failed.append(work.id)
            return Cause.BAD_REPLY if len(failed) % 2 else Cause.NON_FINITE
        return None

    history = run(Federation(federate.settings("fedlaw", asked=3, needed=3)), make_quorum("full"), fails=fails)
    assert len(history.rounds()) == 8


@pytest.mark.parametrize("cause", [Cause.OUT_OF_MEMORY, Cause.BAD_REPLY, Cause.TIMEOUT])
@pytest.mark.parametrize("buffered", [False, True], ids=["rounds", "buffered"])
def test_clients_that_always_fail_end_the_run_with_the_reason(cause: Cause, buffered: bool) -> None:
    chosen = federate.settings("fedlaw", asked=3, needed=3)
    strategy = BufferedFederation(chosen) if buffered else Federation(chosen)
    reason = (
        "every client that was asked in round 1 failed, 3 times over|12 clients in a row failed|every present worker"
    )
    with pytest.raises(RunFailed, match=reason):
        run(
            strategy,
            make_quorum("first" if buffered else "full"),
            fails=lambda work: cause if work.kind == "local_update" else None,
        )


def test_real_sites_are_pinned_and_their_updates_last() -> None:
    strategy = Federation(federate.settings("scaffold", asked=4, needed=3, real=True))
    history = run(strategy, make_quorum("static", k=3))
    for work in history.works.values():
        if work.kind == "local_update":
            assert work.place.worker == work.params["client"]
            assert work.lasting
            assert work.params["simulated"] is None
        else:
            assert work.place.role == "aggregator"
    assert strategy.partition == ""


@pytest.mark.parametrize("buffered", [False, True], ids=["rounds", "buffered"])
def test_a_site_whose_answers_are_refused_is_asked_once_a_version_and_the_others_go_on(buffered: bool) -> None:
    chosen = federate.settings("fedlaw", asked=5, needed=4, real=True)
    strategy = BufferedFederation(chosen) if buffered else Federation(chosen)
    history = run(
        strategy,
        make_quorum("first") if buffered else make_quorum("static", k=4),
        fails=lambda work: Cause.BAD_REPLY if work.params.get("client") == "worker-3" else None,
    )
    asked = [work for work in history.works.values() if work.params.get("client") == "worker-3"]
    assert len(history.rounds()) == 8
    assert 0 < len(asked) <= 9


def test_a_site_that_was_lost_may_try_again_in_the_same_round() -> None:
    strategy = Federation(federate.settings("fedlaw", asked=4, needed=4, real=True))
    history = run(strategy, make_quorum("full"), workers=4, faults=Faults(crash=0.15, back_s=0.1))
    again = [number for number in range(1, 9) if len(history.asked(number)) > len(set(history.asked(number)))]
    assert again


@pytest.mark.parametrize("seed", range(12))
def test_no_round_does_without_a_site_that_was_back_the_moment_it_was_lost(seed: int) -> None:
    strategy = Federation(federate.settings("fedlaw", asked=4, needed=4, real=True))
    history = run(strategy, make_quorum("full"), seed=seed, workers=4, faults=Faults(crash=0.1, back_s=0.0))
    assert [len(updates_of(combine)) for combine in history.combined()] == [4] * 8


@some
@given(SEEDS, st.sampled_from([None, STORM]), st.integers(1, 5), st.integers(1, 6))
def test_a_buffer_has_each_client_once_and_as_many_as_it_is_to_have(
    seed: int, faults: Faults | None, needed: int, out: int
) -> None:
    strategy = BufferedFederation(federate.settings("fedbuff", asked=out, needed=needed))
    history = stormy(strategy, make_quorum("first"), seed, faults)
    assert history.most_out <= out
    assert [row.step for row in history.rounds()] == list(range(1, 9))
    used: list[int] = []
    for version, combine in enumerate(history.combined()):
        updates = updates_of(combine)
        clients = [update["client"] for update in updates]
        assert len(clients) == len(set(clients)) == needed
        for update in updates:
            base = history.works[update["id"]].inputs["weights"]
            assert combine.inputs.get(f"base.{update['id']}", combine.inputs["weights"]) == base
            assert 0 <= update["staleness"] <= version
            assert (update["staleness"] == 0) == (base == combine.inputs["weights"])
            used.append(update["id"])
    assert len(used) == len(set(used))


def test_updates_that_are_too_stale_are_left_out() -> None:
    faults = Faults(slow=0.4)
    strict = BufferedFederation(federate.settings("fedbuff", asked=5, needed=1), max_staleness=0)
    history = run(strict, make_quorum("first"), faults=faults)
    assert sum(row.metrics["too_stale"] for row in history.rounds()) > 0
    for combine in history.combined():
        assert [update["staleness"] for update in updates_of(combine)] == [0]


def test_a_buffer_larger_than_there_are_sites_is_combined_with_all_of_them() -> None:
    strategy = BufferedFederation(federate.settings("fedbuff", asked=9, needed=9, real=True))
    history = run(strategy, make_quorum("first"), workers=3)
    assert [row.metrics["counted"] for row in history.rounds()] == [3.0] * 8


@pytest.mark.parametrize("strategy", [Federation, BufferedFederation])
def test_a_model_that_was_given_is_held_until_it_was_taken_over(
    strategy: type[Federation | BufferedFederation],
) -> None:
    given_ = strategy(replace(federate.settings("fedlaw"), started=True))
    assert set(given_.held()) == {"given.start"}
    works = given_.ask(IdleWorkers({}))
    assert works[0].inputs == {"given": "given.start"}


def test_versions_that_no_update_was_good_for_end_the_run_at_the_third_in_a_row() -> None:
    versions, chosen = Versions(samples={"validation": 0, "test": 0}), federate.settings("fedlaw", rounds=99)

    def made(counted: float) -> None:
        work = Work(1, 1, "combine", {}, {})
        versions.made(
            Told(work, Result(1, 1, "a", {"weights": Ref("1.weights")}, {"counted": counted}, 0, 0), 0), chosen
        )

    for counted in (0, 0, 1, 0, 0):
        made(counted)
    with pytest.raises(RunFailed, match="no client sent finite weights, 3 times in a row"):
        made(0)


def sent(client: str, **metrics: float) -> Sent:
    whole = {"samples": 10.0, "loss": 1.0, "first_loss": 2.0, **metrics}
    return Sent(1, client, 0, Ref("1.update"), Ref("0.weights"), whole)


def test_losses_are_weighted_by_samples_and_their_spread_is_that_between_clients() -> None:
    row = figures(3, [sent("a", loss=1.0, samples=30.0), sent("b", loss=3.0)], {"counted": 2.0, "sum_norm2": 9.0})
    assert row == {"round": 3.0, "loss": 1.5, "loss_sd": 1.0, "loss_min": 1.0, "loss_max": 3.0, "counted": 2.0}


def test_the_quorum_sees_gradients_where_clients_step_by_sgd_and_nothing_where_they_do_not() -> None:
    combined = {"sum_norm2": 8.0, "mean_norm2": 2.0}
    signals = gradient_signals([sent("a", reach=0.5), sent("b", reach=1.5)], combined)
    assert signals == {"loss": 2.0, "k": 2.0, "sum_norm2": 8.0, "norm2": 2.0, "learning_rate": 1.0}
    assert gradient_signals([sent("a", reach=0.5), sent("b")], combined) == {}


def test_a_clients_own_params_are_json_that_its_kind_reads() -> None:
    params = local_params(federate.settings("scaffold"), "4", version=2)
    assert params["simulated"] == {"number": 4, "partition": {"kind": "iid", "clients": 12, "seed": 7}}
    assert params["optimizer"] == {"name": "sgd", "lr": 0.1 * 0.99**2}
    assert params["control"] is True
