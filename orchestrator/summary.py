"""What a run came to, from its journal alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.assemble import core_of
from orchestrator.journal.records import Record
from orchestrator.outcome import TimeSaved
from orchestrator.records import Actions, Counts, Result, Wake
from orchestrator.replay import Comparison
from orchestrator.spec import Spec
from orchestrator.time_saved import Timings, time_saved


@dataclass(slots=True)
class Summary:
    """Gathered wake by wake.

    metrics: the newest of each name. useful, done: quorum works that were counted, and all that were answered.
    """

    rounds: int = 0
    elapsed_s: float = 0.0
    useful: int = 0
    done: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    time_saved: TimeSaved | None = None
    _quorum_works: set[int] = field(default_factory=set)

    @property
    def goodput(self) -> float:
        """Counted over answered, 0 to 1; 1 before the first answer."""
        return self.useful / self.done if self.done else 1.0

    def seen(self, wake: Wake, actions: Actions) -> None:
        self.elapsed_s = wake.now_s
        self.timings.seen(wake, actions)
        for event in wake.events:
            if isinstance(event, Result) and event.work_id in self._quorum_works:
                self._quorum_works.discard(event.work_id)
                self.done += 1
        self._quorum_works.update(
            assignment.work.id for assignment in actions.submit if assignment.work.counts is Counts.QUORUM
        )
        for told in actions.told:
            self.useful += told.work.counts is Counts.QUORUM and told.result.failure is None
        for row in actions.rows:
            self.metrics.update(row.metrics)
        self.rounds += len(actions.closed)


def summarise(spec: Spec, records: Iterable[Record]) -> Summary:
    """Replays a whole journal. Cost: some 50 µs a result, and the run's decisions over again."""
    summary = Summary()
    Comparison(core_of(spec), [summary]).run(records)
    summary.time_saved = time_saved(spec, summary.timings) if spec.train is not None else None
    return summary


def final_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Of all figures those that say how good the model is, and the last loss."""
    return {
        name: value for name, value in metrics.items() if name == "loss" or name.startswith(("test_", "validation_"))
    }
