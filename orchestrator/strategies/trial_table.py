"""Every trial of a search with what became of it, and the checkpoints that may still be of use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.records import Json, Ref, Told
from orchestrator.searching.score import WORST
from orchestrator.searching.searcher import Checkpoint, Segment
from orchestrator.strategies.chains import NONE, Chain


class Status(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"  # it may train on, if it is good enough
    STOPPED = "stopped"  # the search is over, and it was not
    DONE = "done"  # it had the whole budget
    DIVERGED = "diverged"
    FAILED = "failed"


@dataclass(slots=True)
class Trial:
    """config: the newest. points: (epochs, value of the metric), in the order of training; NaN-free.

    epochs: of training in all, those of a checkpoint taken over not counted. seconds: by the clocks of its workers.
    score: the best at the end of a segment; WORST: there was none. segments: over.
    """

    config: dict[str, Json]
    began_s: float
    status: Status = Status.RUNNING
    points: list[tuple[float, float]] = field(default_factory=list)
    epochs: float = 0.0
    seconds: float = 0.0
    ended_s: float = 0.0
    worker: str = ""
    score: float = WORST
    segments: int = 0


@dataclass(slots=True)
class Kept:
    """A trial's checkpoint; optimizer: NONE once nobody trains on from it."""

    trial: int
    epochs: float
    config: dict[str, Json]
    score: float
    weights: Ref
    optimizer: Ref
    worker: str

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.trial, self.epochs)


@dataclass(slots=True)
class TrialTable:
    """JSON by msgspec."""

    trials: dict[int, Trial] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    judged: int = 0  # trials with a first result

    def begin(self, segment: Segment, now_s: float) -> Chain:
        """The segment's training."""
        config = dict(segment.config)
        trial = self.trials.setdefault(segment.trial, Trial(config, now_s))
        trial.config, trial.status = config, Status.RUNNING
        chain = Chain(segment.trial, segment.trial, config, segment.end)
        if segment.source is not None:
            source = next(kept for kept in self.kept if kept.checkpoint == segment.source)
            chain.at, chain.weights, chain.optimizer = source.epochs, source.weights, source.optimizer
            chain.worker = source.worker
        return chain

    def trained(self, chain: Chain, told: Told, value: float | None) -> None:
        """A work of the chain came back; value: of the metric, None: there is none."""
        trial = self.trials[chain.key]
        trial.seconds += told.result.computed_s
        trial.ended_s, trial.worker = told.result.received_s, told.result.worker
        if value is not None:
            trial.epochs += chain.at - float(str(told.work.params["start"]))
            trial.points.append((chain.at, value))

    def ended(self, chain: Chain, status: Status, score: float) -> None:
        """Its segment is over; with weights, they are kept until `keep` lets go of them."""
        trial = self.trials[chain.key]
        self.judged += trial.segments == 0
        trial.status, trial.score, trial.segments = status, max(trial.score, score), trial.segments + 1
        if chain.weights:
            kept = Kept(chain.key, chain.at, chain.config, score, chain.weights, chain.optimizer, chain.worker)
            self.kept.append(kept)

    def keep(self, needed: Iterable[Checkpoint], count: int) -> None:
        """Lets go of what is neither needed nor the best checkpoint of one of the `count` best trials."""
        needed, best = set(needed), {kept.checkpoint for kept in self.best(count)}
        self.kept = [kept for kept in self.kept if kept.checkpoint in needed or kept.checkpoint in best]
        for kept in self.kept:
            if kept.checkpoint not in needed:
                kept.optimizer = NONE

    def best(self, count: int) -> Sequence[Kept]:
        """The best checkpoint of each of the best trials, the best first; of equals the longest trained, then the
        one that began first."""
        order = sorted(self.kept, key=lambda kept: (-kept.score, -kept.epochs, kept.trial))
        firsts: dict[int, Kept] = {}
        for kept in order:
            if kept.score > WORST:
                firsts.setdefault(kept.trial, kept)
        return list(firsts.values())[:count]

    def close(self) -> None:
        """The search is over."""
        for trial in self.trials.values():
            if trial.status is Status.WAITING:
                trial.status = Status.STOPPED

    def held(self) -> Iterator[Ref]:
        for kept in self.kept:
            yield kept.weights
            if kept.optimizer:
                yield kept.optimizer
