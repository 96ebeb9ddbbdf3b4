"""The timings and steps of a finished run, from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from orchestrator.assemble import core_of
from orchestrator.errors import RunFailed
from orchestrator.pools.latency import Latency, Model, Trace
from orchestrator.recorded_run import read_run
from orchestrator.records import Actions, Wake
from orchestrator.replay import actions_of
from orchestrator.simulation.observed import Step, Watch
from orchestrator.simulation.options import CannotSimulate
from orchestrator.spec import Spec
from orchestrator.time_saved import Timings


class Recorded(NamedTuple):
    """What a run's journal says. run: its name. spec: as it was run."""

    run: str
    spec: Spec
    timings: Timings
    watch: Watch

    @property
    def mean_s(self) -> float:
        """Of a gradient's round trip."""
        trips = [seconds for of_one in self.timings.gradients_s.values() for seconds in of_one]
        return sum(trips) / len(trips)

    def latency(self, workers: int) -> Latency:
        """Round trips drawn from those recorded, worker by worker; more workers than there were are like the first."""
        traces: list[Model] = [Trace(of_one) for _, of_one in sorted(self.timings.gradients_s.items())]
        return Latency(
            by_worker={number: traces[number % len(traces)] for number in range(workers)},
            by_kind={kind: Trace(elapsed) for kind, elapsed in self.timings.others_s.items()},
        )

    def steps(self, spec: Spec) -> list[Step]:
        """Those that say how this spec would learn: none, where it learns otherwise or too little was recorded."""
        mine, other = spec.train, self.spec.train
        assert mine is not None
        assert other is not None
        if mine.optimizer != other.optimizer or mine.clip_norm != other.clip_norm or other.local_steps > 1:
            return []
        steps = self.watch.steps
        return steps if any(step.variance is not None and step.reach is not None for step in steps) else []


def recorded(folder: Path, spec: Spec) -> Recorded:
    """Reads a run, which must have trained the same model on the same batches as spec would, each to its end.

    Raises CannotSimulate; JournalDamaged. Cost: that of replaying its decisions.
    """
    run = read_run(folder)
    found = Recorded(run.files.run, run.spec, Timings(), Watch())
    _require_alike(found, spec)
    try:
        for wake, actions in actions_of(core_of(run.spec), run.journal.records()):
            note(found, wake, actions)
    except RunFailed:
        pass  # what it did until then is as good a record
    if not found.timings.gradients_s or not found.watch.init:
        raise CannotSimulate(f"--trace: run {found.run} has no finished gradient; name a run that trained.")
    return found


def note(found: Recorded, wake: Wake, actions: Actions) -> None:
    """One wake of the run."""
    found.timings.seen(wake, actions)
    found.watch.seen(actions)


def _require_alike(found: Recorded, spec: Spec) -> None:
    other, mine = found.spec.train, spec.train
    assert mine is not None
    if other is None:
        raise CannotSimulate(
            f"--trace: run {found.run} did {found.spec.verb}; simulate takes the timings of a train run."
        )
    if other.late == "interrupt":
        raise CannotSimulate(
            f"--trace: run {found.run} interrupted its late gradients, so of its round trips the longest are missing; "
            "trace a run with late: drop, or say --latency."
        )
    for what, its, this in (
        ("task", found.spec.task, spec.task),
        ("train.model", other.model, mine.model),
        ("train.batch_size", other.batch_size, mine.batch_size),
        ("train.local_steps", other.local_steps, mine.local_steps),
    ):
        if its != this:
            raise CannotSimulate(
                f"--trace: run {found.run} has {what} {its}, this spec {this}, so its gradients took another time; "
                "trace a run of this spec, or say --latency."
            )
