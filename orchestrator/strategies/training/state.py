"""All that synchronous training remembers between two wakes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.records import Ref
from orchestrator.strategies.blocks import Blocks
from orchestrator.strategies.evaluation import Evaluation
from orchestrator.strategies.training.best import NONE, Best
from orchestrator.strategies.training.loss_scale import LossScale
from orchestrator.strategies.training.settings import Every


class Phase(StrEnum):
    INIT = "init"  # the first weights are being made
    RANGE = "range"  # how the learning rate may follow k is being tested
    GRADIENTS = "gradients"  # workers compute gradients of the newest weights
    AGGREGATE = "aggregate"  # the quorum is there, the optimizer steps
    TEST = "test"  # all is trained; the model is evaluated
    DONE = "done"


@dataclass(slots=True)
class Gradient:
    """One that the quorum counted; norm2: ‖g‖² before clipping. reach, inner: of local steps, else 0 and NONE."""

    work_id: int
    worker: str
    ref: Ref
    samples: float
    loss: float
    norm2: float
    reach: float = 0.0
    inner: Ref = NONE
    scale: float = 1.0  # of the loss, that was used


@dataclass(slots=True)
class State:
    """JSON by msgspec."""

    phase: Phase = Phase.INIT
    step: int = 0  # finished steps
    next_id: int = 0
    asked_aside: bool = False  # the one-off work of this phase (init, range tests, aggregate) is out
    weights: Ref = NONE
    optimizer: Ref = NONE
    previous_weights: Ref = NONE
    previous_mean: Ref = NONE
    average: Ref = NONE  # of EMA or LAWA, as of the last step or interval
    kept: list[Ref] = field(default_factory=list)  # versions that the next LAWA is made of, oldest first
    averages: int = 0  # made so far by LAWA
    inner: dict[str, Ref] = field(default_factory=dict)  # worker -> what its inner optimizer remembers
    samples: dict[str, int] = field(default_factory=dict)  # by split
    blocks: Blocks = field(default_factory=lambda: Blocks(1))
    asked: dict[str, None] = field(default_factory=dict)  # workers that got a gradient of the newest weights
    gradients: list[Gradient] = field(default_factory=list)  # counted, in order of work id
    failures: dict[int, list[str]] = field(default_factory=dict)  # block -> workers that failed at it, each time
    suspects: dict[str, None] = field(default_factory=dict)  # workers that failed and did not succeed since
    losses: dict[int, int] = field(default_factory=dict)  # block -> workers lost that were at it
    knees: dict[int, float] = field(default_factory=dict)  # k -> learning rate that a range test found
    exponent: float = 0.0  # p of the learning rate's rule
    scale: LossScale = field(default_factory=LossScale)
    signals: dict[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    evaluations: int = 0  # started so far
    best: Best = field(default_factory=Best)
    checkpoints: dict[int, Ref] = field(default_factory=dict)  # step -> weights, oldest first
    checkpointed: int = 0  # so far

    @property
    def current(self) -> Ref:
        """The model as it is now: averaged, if it is."""
        return self.average or self.weights

    def due(self, every: Every, times: int, step: int) -> bool:
        """Whether it is time, once `step` is finished, for something that was done so many times before."""
        if "rounds" in every:
            return step >= (times + 1) * every["rounds"]
        return self.blocks.used >= self.blocks.in_epochs((times + 1) * every["epochs"])

    def refs(self) -> Iterable[Ref]:
        """All that may still be used."""
        held = {
            self.weights,
            self.optimizer,
            self.previous_weights,
            self.previous_mean,
            self.average,
            self.best.weights,
        }
        held.update(self.kept, self.inner.values(), self.checkpoints.values())
        for gradient in self.gradients:
            held.update((gradient.ref, gradient.inner))
        if self.evaluation is not None:
            held.add(self.evaluation.weights)
        return held - {NONE}
