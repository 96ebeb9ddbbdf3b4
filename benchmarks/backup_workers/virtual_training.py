"""Training of a small objective on a virtual clock: the real core, strategy, quorum and pool, with NumPy's arithmetic.

Each gradient is of samples drawn i.i.d., as in the sheet, not of the strategy's next block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from orchestrator.core import Core
from orchestrator.pools.latency import Constant, Latency
from orchestrator.pools.virtual import VirtualPool
from orchestrator.protocols import Quorum
from orchestrator.records import Ref, Work
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
from orchestrator.strategies.training.settings import LearningRate
from tests.unit.quorum.push_and_wait import Array, Objective

WORKERS = 16


@dataclass(frozen=True, slots=True)
class Setting:
    """What is trained. proportional: with η·k/n instead of η. target: loss over all samples at which a run ends.

    check_every: rounds between looks at that loss. limit_s: a run that has not arrived by then counts as this.
    """

    objective: Objective
    learning_rate: float
    proportional: bool
    target: float
    momentum: float = 0.0
    check_every: int = 1
    limit_s: float = 3_000.0


@dataclass(frozen=True, slots=True)
class Run:
    """How long it took to the target, in mean round trips, and the mean number of results that a round had."""

    took_s: float
    mean_k: float


def train(setting: Setting, latency: Latency, quorum: Quorum, seed: int) -> Run:
    """One training, to its target."""
    strategy = SyncTraining(
        SyncTrainingSettings(
            batch_size=1,
            epochs=1.0,
            optimizer={"name": "sgd", "lr": setting.learning_rate, "momentum": setting.momentum},
            workers=WORKERS,
            gradient_statistics=True,
            learning_rate=LearningRate("proportional" if setting.proportional else "constant"),
        )
    )
    trainer = Trainer(setting, seed)
    core = Core(strategy, quorum, seed=seed, workers=WORKERS)
    at_once = {"init": Constant(0.0), "aggregate": Constant(0.0)}
    pool = VirtualPool(WORKERS, trainer, seed=seed, latency=replace(latency, by_kind=at_once))
    ks: list[int] = []
    while core.now_s < setting.limit_s:
        actions = core.handle(pool.wait(core.deadline_s))
        pool.submit(actions.submit)
        ks.extend(closed.arrived for closed in actions.closed)
        if actions.rows and len(ks) % setting.check_every == 0 and trainer.arrived:
            break
    return Run(min(core.now_s, setting.limit_s), fmean(ks))


class Trainer:
    """Does the works of `SyncTraining` in NumPy. What comes too late is only timed, so it is not computed."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self._setting, self._seed = setting, seed
        self._values: dict[Ref, Array] = {}
        self._round = 0  # that is open
        self.weights: Array = np.zeros(0)
        self._velocity: Array = np.zeros(0)

    @property
    def arrived(self) -> bool:
        return self._setting.objective.full_loss(self.weights) <= self._setting.target

    def __call__(self, work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        if work.kind == "init":
            self._publish(work, self._setting.objective.start(np.random.default_rng((self._seed, 0))))
            self._velocity = np.zeros_like(self.weights)
            samples = {"train_samples": 1e9, "validation_samples": 0.0, "test_samples": 0.0}
            return self._put(work, weights=self.weights, optimizer=np.zeros(0)), samples
        if work.kind == "aggregate":
            return self._stepped(work)
        if work.round < self._round:
            return {}, {}
        chance = np.random.default_rng((self._seed, 1, work.id))
        losses, (gradient,) = self._setting.objective.gradients(self._values[work.inputs["weights"]], 1, chance)
        figures = {"loss": float(losses[0]), "norm2": float(gradient @ gradient), "samples": 1.0}
        return self._put(work, gradient=gradient), figures

    def _stepped(self, work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        inputs = {name: self._values[ref] for name, ref in work.inputs.items()}
        weights = inputs["weights"]
        gradients = [value for name, value in inputs.items() if name.startswith("gradient.")]
        mean = np.mean(gradients, axis=0)
        figures = {"norm2": float(mean @ mean)}
        if "previous_mean" in inputs:
            change, step = mean - inputs["previous_mean"], weights - inputs["previous_weights"]
            figures["change_norm2"] = float(change @ change)
            figures["step_norm2"], figures["step_dot_gradient"] = float(step @ step), float(mean @ step)
        rate = self._setting.learning_rate * float(str(work.params["lr_factor"]))
        figures["learning_rate"] = rate
        figures["effective_learning_rate"] = rate / (1 - self._setting.momentum)
        self._velocity = self._setting.momentum * self._velocity + mean
        self._values = {work.inputs["weights"]: weights}  # all else was of rounds that are over
        self._publish(work, weights - rate * self._velocity)
        return self._put(work, weights=self.weights, optimizer=np.zeros(0), mean=mean), figures

    def _publish(self, work: Work, weights: Array) -> None:
        self.weights, self._round = weights, work.round + 1

    def _put(self, work: Work, **outputs: Array) -> Mapping[str, Ref]:
        refs = {name: Ref(f"{work.id}.{name}") for name in outputs}
        self._values.update({refs[name]: value for name, value in outputs.items()})
        return refs
