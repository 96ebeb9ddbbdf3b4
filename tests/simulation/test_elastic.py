"""Workers that come and go while a run goes on: none is waited for, all are used, and an epoch stays one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.pools.latency import Constant, Latency
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.quorum import make_quorum
from orchestrator.records import WORKER, Actions, Closed, Joined, Left, Result, Wake
from orchestrator.values.memory import MemoryValues
from orchestrator.values.persisted import MemoryFiles, Persisted
from tests.support.toys.train import strategy, toy

LEAST, MOST = 2, 6
GRADIENT_S, STEP_S = 1.0, 0.125  # powers of two: times add up without rounding
QUICK = {kind: Constant(STEP_S) for kind in ("init", "aggregate", "evaluate")}
PATIENCE_S = 64.0
EPOCHS, BLOCKS = 2, 24  # blocks an epoch
SECONDS = st.integers(0, 200).map(lambda eighths: eighths / 8)
Times = Sequence[tuple[float, str]]
newcomers = st.lists(st.tuples(SECONDS, st.sampled_from([f"worker-{number}" for number in range(LEAST, MOST)])))


class Run:
    """A training with workers {min: LEAST, max: MOST}, of which LEAST are there from the start."""

    def __init__(
        self, quorum: str, joins: Times = (), leaves: Times = (), slow: float = 1.0, **options: object
    ) -> None:
        factors = dict.fromkeys(range(LEAST, MOST), slow)
        self.core = Core(
            strategy(quorum), make_quorum(quorum, **options), min_workers=LEAST, workers=LEAST, patience_s=PATIENCE_S
        )
        execute = toy(MemoryValues(Persisted(MemoryFiles())), train_samples=10 * BLOCKS)
        latency = Latency(Constant(GRADIENT_S), factors=factors, by_kind=QUICK)
        faults = Faults(joins=joins, leaves=leaves)
        self.pool = VirtualPool(LEAST, execute, latency=latency, faults=faults)

    @cached_property
    def steps(self) -> Sequence[tuple[Wake, Actions]]:
        """The whole run. Raises RunFailed."""
        return list(self._steps())

    def _steps(self) -> Iterator[tuple[Wake, Actions]]:
        while not self.core.finished:
            wake = self.pool.wait(self.core.deadline_s)
            actions = self.core.handle(wake)
            self.pool.submit(actions.submit)
            self.pool.cancel(actions.cancel)
            yield wake, actions

    @property
    def closed(self) -> Sequence[Closed]:
        return [closed for _, actions in self.steps for closed in actions.closed]

    def require_one_pass_an_epoch(self) -> None:
        """Each block of each epoch is in exactly one step. A step may be filled up with some of the epoch to come, and
        none is made of nothing else: a block that came back is asked for in the very next step."""
        works = [assignment.work for _, actions in self.steps for assignment in actions.submit]
        asked = [work for work in works if work.kind == "gradient"]
        blocks = {work.id: (work.params["epoch"], work.params["block"]) for work in asked}
        steps = [work.params["gradients"] for work in works if work.kind == "aggregate"]
        used = Counter(blocks[work_id] for gradients in steps for work_id in gradients)
        assert set(used.values()) == {1}
        passes = {(epoch, block) for epoch in range(EPOCHS) for block in range(BLOCKS)}
        assert passes <= set(used)
        assert {work.round for work in asked} == {work.round for work in asked if blocks[work.id] in passes}
        assert all(epoch == EPOCHS for epoch, _ in set(used) - passes)


@pytest.mark.parametrize("quorum", ["full", "dynamic", "dbw", "rate"])
@given(joins=newcomers, leaves=newcomers, slow=st.sampled_from([0.5, 1.0, 8.0]))
@settings(max_examples=20)
def test_an_epoch_is_one_pass_whoever_comes_and_goes(quorum: str, joins: Times, leaves: Times, slow: float) -> None:
    Run(quorum, joins, leaves, slow).require_one_pass_an_epoch()


@settings(max_examples=30)
@given(joins=newcomers, slow=st.sampled_from([1.0, 8.0, 1000.0]))
def test_a_newcomer_stalls_nobody(joins: Times, slow: float) -> None:
    """With newcomers, however slow, step after step is taken as early as it would be without them, or earlier; what
    one holds at the end goes back when its round closes, and may take one step more."""
    alone, grown = Run("static", k=LEAST), Run("static", joins, slow=slow, k=LEAST)
    for before, after in zip(alone.closed, grown.closed, strict=False):
        assert after.closed_s <= before.closed_s
    more = len(grown.closed) - len(alone.closed)
    assert more <= len({worker for _, worker in joins})
    assert grown.core.now_s <= alone.core.now_s + max(0, more) * (GRADIENT_S + STEP_S)


@given(joins=newcomers, leaves=newcomers)
@settings(max_examples=20)
def test_a_newcomer_is_used_at_once(joins: Times, leaves: Times) -> None:
    """It has work in the very wake that it joins in, or when the step is done that is being computed just then; until
    all data of the run is given out. One that left its gradient behind has been part of the step, and waits for it."""
    came_s: dict[str, float] = {}  # of those who wait
    answered: set[str] = set()  # in this step
    given: set[tuple[object, object]] = set()  # blocks of data
    for wake, actions in Run("full", joins, leaves).steps:
        for event in wake.events:
            if isinstance(event, Joined) and event.role == WORKER and event.worker not in answered:
                came_s[event.worker] = wake.now_s
            elif isinstance(event, Left):
                came_s.pop(event.worker, None)
            elif isinstance(event, Result) and event.failure is None:
                answered.add(event.worker)
        for assignment in actions.submit:
            came_s.pop(assignment.worker, None)
            if assignment.work.kind == "aggregate":
                answered.clear()
            elif assignment.work.kind == "gradient":
                given.add((assignment.work.params["epoch"], assignment.work.params["block"]))
        if len(given) >= EPOCHS * BLOCKS:
            return
        assert all(wake.now_s < since_s + STEP_S for since_s in came_s.values())


def test_twice_the_workers_take_a_little_more_than_half_the_time() -> None:
    joins = [(GRADIENT_S, f"worker-{number}") for number in range(LEAST, 2 * LEAST)]
    alone, grown = Run("full"), Run("full", joins)
    assert len(alone.closed) == EPOCHS * BLOCKS / LEAST
    assert len(grown.closed) <= len(alone.closed) / 2 + 1


@settings(max_examples=30)
@given(left_s=st.integers(1, 15), away_s=st.integers(1, int(PATIENCE_S) - 1))
def test_below_the_minimum_no_step_is_taken_and_the_reason_is_printed(left_s: float, away_s: float) -> None:
    left_s += GRADIENT_S / 2
    back_s = left_s + away_s
    run = Run("static", joins=[(back_s, "worker-1")], leaves=[(left_s, "worker-1")], k=1)
    for wake, actions in run.steps:
        below = left_s <= wake.now_s < back_s
        waits = actions.waiting == f"1 of at least {LEAST} workers are connected"
        assert waits == below or wake.now_s < STEP_S
    assert not [closed for closed in run.closed if left_s < closed.met_s < back_s]


@settings(max_examples=30)
@given(left_s=st.integers(1, 15), late_s=st.integers(0, 100))
def test_the_wait_below_the_minimum_is_bounded_by_patience(left_s: int, late_s: int) -> None:
    back_s = left_s + PATIENCE_S + late_s + 1
    run = Run("full", joins=[(back_s, "worker-1")], leaves=[(left_s, "worker-1")])
    with pytest.raises(RunFailed, match=f"1 of at least {LEAST} workers are connected for {PATIENCE_S:g} s"):
        _ = run.steps
    assert run.core.now_s == left_s + PATIENCE_S


@settings(max_examples=30)
@given(left_s=st.integers(1, 15), away_s=st.integers(1, int(PATIENCE_S) - 1))
def test_after_a_return_to_the_minimum_the_run_goes_on_and_nothing_is_lost(left_s: int, away_s: int) -> None:
    run = Run("full", joins=[(left_s + away_s, "worker-1")], leaves=[(left_s, "worker-1")])
    run.require_one_pass_an_epoch()
    assert [closed.met_s for closed in run.closed if closed.met_s > left_s + away_s]
    alone = Run("full")
    assert len(alone.steps) > 0
    assert run.core.now_s <= alone.core.now_s + away_s + 2 * (GRADIENT_S + STEP_S)  # it is asked anew for what it lost
