"""The loop: what the pool says is journalled, the core is asked, what it wants is done."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.journal.records import Snapshot
from orchestrator.protocols import Journal, Observer, Pool, Values
from orchestrator.records import NOTHING, Actions, Json, Ref, Result, Wake

SNAPSHOTS_KEPT = 3
COLLECT_EVERY = 100_000  # objects made and not freed


class SnapshotStore(Protocol):
    """Where snapshots are kept."""

    def save(self, wakes: int, state: Json) -> Snapshot: ...


@dataclass(slots=True)
class Engine:
    """All that one engine of a run owns.

    snapshot_due: asked after each closed round, when few values are held. snapshot_taken: told after each.
    """

    core: Core
    pool: Pool
    journal: Journal
    values: Values
    snapshots: SnapshotStore
    snapshot_due: Callable[[Wake], bool]
    observers: Sequence[Observer] = field(default=())
    snapshot_taken: Callable[[], None] = lambda: None
    _kept: deque[Set[Ref]] = field(default_factory=lambda: deque(maxlen=SNAPSHOTS_KEPT))
    _alive: set[Ref] = field(default_factory=set)  # values that this engine knows of and has not released

    def __post_init__(self) -> None:
        self._alive = self.core.held()

    def step(self) -> None:
        """One wake. A kill between any two lines loses nothing: the journal has the wake, or the pool has it again."""
        wake = self.pool.wait(self.core.deadline_s)
        self.values.keep(self.core.lasting(wake))
        self.journal.append(wake)
        try:
            actions = self.core.handle(wake)
        except RunFailed:
            self._show(wake, NOTHING)
            raise
        self.pool.cancel(actions.cancel)
        self.pool.submit(actions.submit)
        self._keep(wake, actions)
        self._show(wake, actions)

    def snapshot(self) -> None:
        """Makes what a resume needs durable: the values first, then the state, then the word of it."""
        roots = self.core.roots()
        self.values.persist(roots)
        self.journal.sync()
        self.journal.append(self.snapshots.save(self.core.wakes, self.core.state_dict()))
        self._kept.append(roots)
        if len(self._kept) == SNAPSHOTS_KEPT:  # before that, snapshots of an earlier engine may need others
            self.values.retain(set().union(*self._kept))
        self.snapshot_taken()

    def _show(self, wake: Wake, actions: Actions) -> None:
        for observer in self.observers:
            observer.seen(wake, actions)

    def _keep(self, wake: Wake, actions: Actions) -> None:
        """Lets go of what nobody can ask for any more. A value whose result is still on its way is nobody's garbage."""
        for event in wake.events:
            if isinstance(event, Result):
                self._alive.update(event.outputs.values())
        if actions.closed:
            held = self.core.held()
            self.values.release(self._alive - held)
            self._alive &= held
            if self.snapshot_due(wake):
                self.snapshot()


def drive(engine: Engine, stop: Callable[[], bool] = lambda: False) -> bool:
    """Runs until the core is finished (True), or `stop` says so between two wakes (False). Raises RunFailed."""
    with frozen_collector():
        while not engine.core.finished:
            if stop():
                return False
            engine.step()
    return True


@contextmanager
def frozen_collector() -> Iterator[None]:
    """What is alive already is not walked by collections of the loop's garbage; and those are rare, as cycles are."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
