"""One quorum's run on the virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, isfinite
from typing import NamedTuple

from orchestrator.assemble import core_of
from orchestrator.errors import RunFailed
from orchestrator.pools.latency import Latency
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.records import WORKER, Actions, Counts, Result, Wake
from orchestrator.simulation.learner import Learner
from orchestrator.spec import Spec


class Point(NamedTuple):
    """A round that closed: when, k, passes over the data so far, the training loss then."""

    now_s: float
    k: int
    epoch: float
    loss: float


@dataclass(slots=True)
class Played:
    """points: one a round. finished: it came to the spec's end, after now_s.

    useful, answered: gradients that a step used, and all that ended, failed ones included. useful_s: round trips of the
    former. metrics: of the last evaluation. failed: why it could not go on, or "".
    """

    points: list[Point] = field(default_factory=list)
    finished: bool = False
    now_s: float = 0.0
    useful: int = 0
    answered: int = 0
    useful_s: float = 0.0
    samples: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    failed: str = ""

    def reached_s(self, loss: float) -> float | None:
        """When the training loss first was so low, between two rounds in proportion; None: never."""
        if self.points and self.points[0].loss <= loss:
            return self.points[0].now_s
        for before, after in pairwise(self.points):
            if after.loss <= loss:
                share = (before.loss - loss) / (before.loss - after.loss) if isfinite(before.loss) else 1.0
                return before.now_s + share * (after.now_s - before.now_s)
        return None


def play(
    spec: Spec,
    learner: Learner,
    *,
    latency: Latency,
    faults: Faults,
    most_answers: float = inf,
    progress: Callable[[float], None] = lambda share: None,
) -> Played:
    """The spec's run with its workers on the virtual pool; most_answers: then it is not played
    on. progress: is told the share of its epochs that is done.

    Cost: 20 µs an answer, and what the quorum and the learner cost.
    """
    assert spec.train is not None
    epochs, workers = spec.train.epochs, spec.train.most_workers
    core = core_of(spec)
    pool = VirtualPool(workers, learner.execute, seed=spec.seed, latency=latency, faults=faults)
    played = Played()
    while not core.finished:
        wake = pool.wait(core.deadline_s)
        try:
            actions = core.handle(wake)
        except RunFailed as failed:
            played.failed = failed.reason
            break
        pool.cancel(actions.cancel)
        pool.submit(actions.submit)
        _note(played, wake, actions, learner)
        if actions.closed:
            learner.keep(core.held)
            progress(min(_epoch(played) / epochs, 1.0))
            if played.points and not isfinite(played.points[-1].loss):
                played.failed = "the loss grows without end"
                break
            if played.answered > most_answers:
                break
    played.finished = core.finished
    return played


def _note(played: Played, wake: Wake, actions: Actions, learner: Learner) -> None:
    played.now_s = wake.now_s
    played.answered += sum(isinstance(event, Result) and _of_a_gradient(event) for event in wake.events)
    for told in actions.told:
        if told.work.counts is Counts.QUORUM and told.result.failure is None:
            played.useful += 1
            played.useful_s += told.result.received_s - told.dispatched_s
    for row in actions.rows:
        if "waited_for" in row.metrics:
            figures = row.metrics
            point = Point(wake.now_s, int(figures["waited_for"]), figures["epoch"], learner.loss(row))
            played.points.append(point)
            played.samples += figures["samples"]
        else:
            played.metrics |= row.metrics


def _of_a_gradient(result: Result) -> bool:
    failed = result.failure is not None and result.worker.startswith(WORKER)
    return failed or ("norm2" in result.metrics and "learning_rate" not in result.metrics)


def _epoch(played: Played) -> float:
    return played.points[-1].epoch if played.points else 0.0


def thinned(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Some of them, evenly, the last among them."""
    every = -(-len(points) // most)
    return [*points[:-1:every], *points[-1:]] if points else points
