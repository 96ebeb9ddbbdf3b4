"""Trials as chains of short works: each goes on from the checkpoint of the one before, wherever a worker is free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.errors import RunFailed
from orchestrator.records import ANY, Json, Late, Place, Ref, Told, Work
from orchestrator.searching.score import WORST, Mode, score
from orchestrator.searching.training import Training
from orchestrator.strategies.blocks import CLOSE

NONE = Ref("")
VALIDATION = "validation_"
PATIENCE, LEAST_S = 100.0, 600.0  # times the slowest epoch so far, and never less, before a work is given up


@dataclass(frozen=True, slots=True)
class Course:
    """What all chains have in common.

    every: > 0, epochs of one work at most. validation: samples; 0: all. metric, mode: what is best on them.
    deadline: whether works are given up after a time learnt from all before; else when the pool says so. The pool
        learns from the longest so far, but the first works of a search are its shortest.
    """

    training: Training
    metric: str
    mode: Mode = "max"
    every: float = 1.0
    validation: int = 0
    deadline: bool = True

    def value(self, told: Told) -> float | None:
        """The metric at the end of a trial's work; None: it diverged or failed. Raises RunFailed, see `value_in`."""
        return self.value_in(told.result.metrics) if told.result.outputs else None

    def value_in(self, metrics: Mapping[str, float]) -> float:
        """The metric among those of a work.

        Raises:
            RunFailed: the task has no such metric.
        """
        name = VALIDATION + self.metric
        if name not in metrics:
            found = sorted(known.removeprefix(VALIDATION) for known in metrics if known.startswith(VALIDATION))
            reason = f"the task's metrics have no {self.metric!r}, which search.metric asks for"
            raise RunFailed(f"{reason}; they are: {', '.join(found) or 'none, for there are no validation data'}")
        return metrics[name]

    def score(self, value: float | None) -> float:
        """The value so that higher is better; WORST: there is none."""
        return WORST if value is None else score(value, self.mode)

    def shown(self, score: float) -> float:
        """The value of a score, for people."""
        return score if self.mode == "max" else -score


@dataclass(slots=True)
class Chain:
    """Training with `config` to `end` epochs, `at` of them done. number, first: see the kind "trial".

    key: whose it is, for whoever began it. weights, optimizer: where it is at; NONE: at its beginning, but for the
        weights that it was given to begin from.
    worker: who had it last, where its checkpoint is warm.
    """

    key: int
    number: int
    config: dict[str, Json]
    end: float
    at: float = 0.0
    weights: Ref = NONE
    optimizer: Ref = NONE
    worker: str = ANY
    first: int = 0

    @property
    def over(self) -> bool:
        """It has come to its end, or it diverged or failed; meaningful when `tell` has returned it."""
        return not self.weights or self.at == self.end


@dataclass(slots=True)
class Chains:
    """All that are under way; JSON by msgspec."""

    ready: list[Chain] = field(default_factory=list)  # to go on, the longest waiting first
    out: dict[int, Chain] = field(default_factory=dict)  # by id of the work
    epoch_s: float = 0.0  # the slowest so far

    def begin(self, chain: Chain) -> None:
        self.ready.append(chain)

    def ask(self, work_id: int, course: Course) -> Work:
        """The next work of the chain that has waited longest; there is one that is ready."""
        chain = self.ready.pop(0)
        self.out[work_id] = chain
        end = chain.at + course.every
        end = chain.end if end > chain.end * (1 - CLOSE) else end
        params: Mapping[str, Json] = {
            **course.training.of(chain.config),
            "number": chain.number,
            "first": chain.first,
            "start": chain.at,
            "end": end,
            "validation": course.validation,
        }
        inputs = {name: ref for name, ref in (("weights", chain.weights), ("optimizer", chain.optimizer)) if ref}
        learnt_s = max(LEAST_S, PATIENCE * self.epoch_s * (end - chain.at))
        timeout_s = learnt_s if course.deadline and self.epoch_s else None
        place = Place(prefer=chain.worker)
        return Work(work_id, 0, "trial", inputs, params, place, late=Late.KEEP, timeout_s=timeout_s)

    def tell(self, told: Told) -> Chain:
        """The chain of this work, moved on; ready again, unless it is over. Diverged or failed, it has no weights."""
        chain = self.out.pop(told.work.id)
        outputs = told.result.outputs
        chain.weights, chain.optimizer = outputs.get("weights", NONE), outputs.get("optimizer", NONE)
        chain.worker = told.result.worker
        if chain.weights:
            end = float(str(told.work.params["end"]))
            self.epoch_s = max(self.epoch_s, told.result.computed_s / (end - chain.at))
            chain.at = end
            if not chain.over:
                self.ready.append(chain)
        return chain

    def held(self) -> Iterator[Ref]:
        for chain in (*self.ready, *self.out.values()):
            yield from (ref for ref in (chain.weights, chain.optimizer) if ref)

    def __len__(self) -> int:
        return len(self.ready) + len(self.out)
