"""A journal handed to the same core again: the state to resume from, or the explanation of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.core import Core
from orchestrator.errors import RunFailed
from orchestrator.journal.records import Ended, Record, Snapshot
from orchestrator.lineage import Lineage
from orchestrator.protocols import Observer
from orchestrator.records import NOTHING, Actions, Result, Wake


def actions_of(core: Core, records: Iterable[Record]) -> Iterator[tuple[Wake, Actions]]:
    """Every wake and what the core did then. Raises RunFailed where the run failed."""
    for record in records:
        if isinstance(record, Wake):
            yield record, core.handle(record)


def restore(
    core: Core, records: Iterable[Record], state: Mapping[str, Any] | None, observers: Sequence[Observer] = ()
) -> Lineage:
    """Brings a new core to the end of the journal.

    records: those after the snapshot that `state` is of; all, if it is None. observers: see them again.
    Returns the lineage of what a fresh pool may have lost. Raises RunFailed where the run had failed.
    """
    lineage = Lineage()
    if state is not None:
        core.load_state_dict(state)
        lineage.note(core.unfinished())
    for wake, actions in actions_of(core, records):
        lineage.note(assignment.work for assignment in actions.submit)
        for observer in observers:
            observer.seen(wake, actions)
    return lineage


class Comparison:
    """A whole journal replayed, and held against what it says of itself.

    differing: a sentence for each snapshot, result or end that does not fit. decisions: how many were made.
    """

    def __init__(self, core: Core, observers: Sequence[Observer] = ()) -> None:
        self.core, self.lineage, self.observers = core, Lineage(), observers
        self.wakes = self.decisions = 0
        self.differing: list[str] = []
        self.ended: Ended | None = None
        self.failed: RunFailed | None = None

    def run(self, records: Iterable[Record]) -> None:
        """Up to the first result that this code did not ask for, or cannot take: what follows says no more."""
        for record in records:
            if isinstance(record, Wake):
                self._wake(record)
                if self.differing:
                    return
            elif isinstance(record, Snapshot) and record.wakes != self.core.wakes:
                self.differing.append(
                    f"snapshot {record.file} was taken after {record.wakes} wakes, not {self.core.wakes}"
                )
            elif isinstance(record, Ended):
                self.ended = record
                if record.decisions != self.core.decisions:
                    self.differing.append("the decisions made are not those of the run")

    def _wake(self, wake: Wake) -> None:
        for event in wake.events:
            if isinstance(event, Result):
                self._require_asked(event)
        if self.differing:
            return
        try:
            actions = self.core.handle(wake)
        except RunFailed as failed:
            self.failed = failed
            self._show(wake, NOTHING)
            return
        except Exception as error:  # a strategy that is told of work that it would have done otherwise
            self.differing.append(f"wake {self.core.wakes}: this code cannot go on from it ({error!r})")
            return
        self.wakes += 1
        self.decisions += len(actions.decided)
        self.lineage.note(assignment.work for assignment in actions.submit)
        self._show(wake, actions)

    def _show(self, wake: Wake, actions: Actions) -> None:
        for observer in self.observers:
            observer.seen(wake, actions)

    def _require_asked(self, result: Result) -> None:
        """An answer to work that this core never gave out: its decisions have left those of the run."""
        if result.work_id not in self.lineage:
            self.differing.append(f"wake {self.core.wakes}: a result of work {result.work_id} that was not asked for")
