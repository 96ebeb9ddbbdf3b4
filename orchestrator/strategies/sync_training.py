"""Data-parallel SGD that waits for k of n: gradients of the newest weights, then one step of the optimizer.

Push-and-wait: a worker that is late finishes its gradient of old weights (dropped, but timed) and then gets the newest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil, sqrt
from typing import Any

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import AGGREGATOR, Cause, Counts, Failure, Json, Model, Place, Ref, Row, Told, Work
from orchestrator.strategies.blocks import Blocks
from orchestrator.strategies.evaluation import Evaluation

NONE = Ref("")
ATTEMPTS = 3  # of one block of data, then the run ends: no worker can do better
LOSSES = 8  # of workers that were at one block of data, then the run ends: the block may be what ends them
LOST = (Cause.LOST_WORKER, Cause.LOST_NODE)


class Phase(StrEnum):
    INIT = "init"  # the first weights are being made
    GRADIENTS = "gradients"  # workers compute gradients of the newest weights
    AGGREGATE = "aggregate"  # the quorum is there, the optimizer steps
    TEST = "test"  # all data are used; the final weights are evaluated
    DONE = "done"


@dataclass(frozen=True, slots=True)
class SyncTrainingSettings:
    """What a user asked for.

    batch_size: samples of one gradient, >= 1. epochs: > 0, may be a fraction. optimizer: {"name": …, "lr": …, …}.
    clip_norm: > 0, of the mean gradient; None: no clipping. model: arguments of the task's model().
    evaluate_every: between evaluations on the validation split, {"epochs": > 0} or {"rounds": >= 1}.
    gradient_statistics: whether the quorum wants `change_norm2`, `step_norm2` and `step_dot_gradient`; they cost one
        more pass over the parameters a step and one more value.
    """

    batch_size: int
    epochs: float
    optimizer: Mapping[str, Any]
    clip_norm: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    evaluate_every: Mapping[str, float] = field(default_factory=lambda: {"epochs": 1.0})
    gradient_statistics: bool = False


@dataclass(slots=True)
class Gradient:
    """One that the quorum counted; norm2: ‖g‖² before clipping."""

    work_id: int
    ref: Ref
    samples: float
    loss: float
    norm2: float


@dataclass(slots=True)
class State:
    """All that `SyncTraining` remembers; JSON by msgspec."""

    phase: Phase = Phase.INIT
    step: int = 0  # finished steps
    next_id: int = 0
    asked_aside: bool = False  # the one-off work of this phase (init, aggregate) is out
    weights: Ref = NONE
    optimizer: Ref = NONE
    previous_weights: Ref = NONE
    previous_mean: Ref = NONE
    samples: dict[str, int] = field(default_factory=dict)  # by split
    blocks: Blocks = field(default_factory=lambda: Blocks(1))
    asked: dict[str, None] = field(default_factory=dict)  # workers that got a gradient of the newest weights
    gradients: list[Gradient] = field(default_factory=list)  # counted, in order of work id
    failures: dict[int, int] = field(default_factory=dict)  # block -> failed attempts
    losses: dict[int, int] = field(default_factory=dict)  # block -> workers lost that were at it
    signals: dict[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    evaluations: int = 0  # started so far


class SyncTraining:
    """The strategy of `train`. One round is one step: k gradients (QUORUM), then their aggregate (REQUIRED).

    Holds: a worker is asked at most once for each version of the weights, so no worker's data weigh double.
    Exact: the aggregate sums in order of work id, whatever the order of arrival.
    """

    def __init__(self, settings: SyncTrainingSettings) -> None:
        self.settings = settings
        self._state = State()
        self._published = False  # new weights since the last ask: look at all idle workers, not only the fresh ones

    def ask(self, idle: Idle) -> Sequence[Work]:
        state = self._state
        works: list[Work] = []
        if state.phase is Phase.INIT and not state.asked_aside:
            works.append(self._init())
        elif state.phase is Phase.GRADIENTS:
            candidates: Iterable[str] = idle if self._published else idle.fresh
            works.extend(self._gradient(worker) for worker in candidates if self._may_ask(worker, idle))
            self._published = False
        elif state.phase is Phase.AGGREGATE and not state.asked_aside:
            works.append(self._aggregate())
        if state.evaluation is not None:
            for start, count in state.evaluation.parts_to_ask():
                works.append(self._evaluate(state.evaluation, start, count))
        return works

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        rows: list[Row] = []
        counted: list[Told] = []
        for told in results:
            if told.work.kind == "gradient":
                if told.result.failure is None:
                    counted.append(told)
                else:
                    self._gradient_failed(told, told.result.failure)
            elif told.work.kind == "evaluate":
                rows.extend(self._evaluated(told))
            elif told.work.kind == "aggregate":
                rows.append(self._stepped(told))
            else:
                self._initialised(told)
        if counted:
            self._quorum_met(counted)
        return rows

    def may_ask(self, worker: str) -> bool:
        return self._state.phase is Phase.GRADIENTS

    @property
    def finished(self) -> bool:
        return self._state.phase is Phase.DONE

    @property
    def signals(self) -> Mapping[str, float]:
        return self._state.signals

    @property
    def model(self) -> Model | None:
        return Model(self._state.weights, self.settings.model) if self._state.weights else None

    @property
    def order(self) -> str:
        """Hash of the blocks used so far, in order."""
        return self._state.blocks.order

    def held(self) -> Iterable[Ref]:
        state = self._state
        held = {state.weights, state.optimizer, state.previous_weights, state.previous_mean}
        held.update(gradient.ref for gradient in state.gradients)
        if state.evaluation is not None:
            held.add(state.evaluation.weights)
        return held - {NONE}

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)
        self._published = False

    # -- asking -----------------------------------------------------------------------------------------------------

    def _work(
        self, kind: str, inputs: Mapping[str, Ref], params: Mapping[str, Json], place: Place, counts: Counts
    ) -> Work:
        """Round 0 makes the first weights, round n is step n."""
        state = self._state
        round_ = 0 if state.phase is Phase.INIT else state.step + 1
        work = Work(state.next_id, round_, kind, inputs, {"model": self.settings.model, **params}, place, counts)
        state.next_id += 1
        return work

    def _init(self) -> Work:
        self._state.asked_aside = True
        place = Place(role=AGGREGATOR)
        return self._work("init", {}, {"optimizer": self.settings.optimizer}, place, Counts.REQUIRED)

    def _may_ask(self, worker: str, idle: Idle) -> bool:
        if worker in self._state.asked or worker not in idle:
            return False
        self._state.asked[worker] = None
        return True

    def _gradient(self, worker: str) -> Work:
        state = self._state
        epoch, block = divmod(state.blocks.take(state.next_id), state.blocks.per_epoch)
        params: Mapping[str, Json] = {"epoch": epoch, "block": block, "batch_size": self.settings.batch_size}
        return self._work("gradient", {"weights": state.weights}, params, Place(worker=worker), Counts.QUORUM)

    def _aggregate(self) -> Work:
        state, settings = self._state, self.settings
        state.asked_aside = True
        inputs = {"weights": state.weights, "optimizer": state.optimizer}
        inputs.update({f"gradient.{gradient.work_id}": gradient.ref for gradient in state.gradients})
        if state.previous_mean:
            inputs.update(previous_mean=state.previous_mean, previous_weights=state.previous_weights)
        params: Mapping[str, Json] = {
            "gradients": [gradient.work_id for gradient in state.gradients],
            "samples": [gradient.samples for gradient in state.gradients],
            "optimizer": settings.optimizer,
            "clip_norm": settings.clip_norm,
            "keep_mean": settings.gradient_statistics,
        }
        return self._work("aggregate", inputs, params, Place(role=AGGREGATOR), Counts.REQUIRED)

    def _evaluate(self, evaluation: Evaluation, start: int, count: int) -> Work:
        """During training beside the aggregates; at the end on whoever is free, for nothing else is left to do."""
        role = AGGREGATOR if self._state.phase is not Phase.TEST else Place().role
        params: Mapping[str, Json] = {"split": evaluation.split, "start": start, "count": count}
        return self._work("evaluate", {"weights": evaluation.weights}, params, Place(role=role), Counts.ASIDE)

    # -- being told -------------------------------------------------------------------------------------------------

    def _initialised(self, told: Told) -> None:
        state = self._state
        state.weights, state.optimizer = told.result.outputs["weights"], told.result.outputs["optimizer"]
        state.samples = {
            split: int(told.result.metrics[f"{split}_samples"]) for split in ("train", "validation", "test")
        }
        state.blocks = Blocks(per_epoch=ceil(state.samples["train"] / self.settings.batch_size))
        self._publish()

    def _publish(self) -> None:
        """New weights are there: everybody idle may be asked for their gradient."""
        state = self._state
        state.phase, state.asked_aside = Phase.GRADIENTS, False
        state.asked.clear()
        self._published = True

    def _gradient_failed(self, told: Told, failure: Failure) -> None:
        state = self._state
        if told.work.id not in state.blocks.out:
            return  # its round is over: the block has come back already
        block = state.blocks.give_back(told.work.id)
        if failure.cause is not Cause.PREEMPTED:
            lost = failure.cause in LOST
            counts, limit = (state.losses, LOSSES) if lost else (state.failures, ATTEMPTS)
            counts[block] = counts.get(block, 0) + 1
            if counts[block] >= limit:
                epoch, number = divmod(block, state.blocks.per_epoch)
                happened = "ended its worker" if lost else "failed"
                reason = f"block {number} of epoch {epoch} {happened} {limit} times: look at its samples"
                raise RunFailed(f"{reason} ({failure.cause}: {failure.message})", traceback=failure.traceback)
        if failure.cause in (*LOST, Cause.PREEMPTED, Cause.TIMEOUT, Cause.BAD_REPLY):
            state.asked.pop(told.work.place.worker, None)  # it may try again

    def _quorum_met(self, counted: Sequence[Told]) -> None:
        state = self._state
        state.gradients = [
            Gradient(
                told.work.id,
                told.result.outputs["gradient"],
                told.result.metrics["samples"],
                told.result.metrics["loss"],
                told.result.metrics["norm2"],
            )
            for told in sorted(counted, key=lambda told: told.work.id)
        ]
        state.blocks.use(gradient.work_id for gradient in state.gradients)
        state.phase = Phase.AGGREGATE

    def _stepped(self, told: Told) -> Row:
        state, settings, metrics = self._state, self.settings, told.result.metrics
        samples = sum(gradient.samples for gradient in state.gradients)
        loss = sum(gradient.loss * gradient.samples for gradient in state.gradients) / samples
        state.signals = {
            "loss": loss,
            "k": float(len(state.gradients)),
            "sum_norm2": sum(gradient.norm2 for gradient in state.gradients),
            "learning_rate": float(settings.optimizer["lr"]),
            "momentum": float(settings.optimizer.get("momentum", 0.0)),
            **{
                name: metrics[name]
                for name in ("norm2", "change_norm2", "step_norm2", "step_dot_gradient")
                if name in metrics
            },
        }
        outputs = told.result.outputs
        if settings.gradient_statistics:
            state.previous_weights, state.previous_mean = state.weights, outputs["mean"]
        state.weights, state.optimizer = outputs["weights"], outputs["optimizer"]
        state.step += 1
        row = Row(
            state.step,
            {
                "epoch": state.blocks.used / state.blocks.per_epoch,
                "loss": loss,
                "waited_for": float(len(state.gradients)),
                "samples": samples,
                "learning_rate": state.signals["learning_rate"],
                "gradient_norm": sqrt(metrics["norm2"]),
            },
        )
        state.gradients = []
        self._publish()
        self._evaluate_or_end()
        return row

    def _evaluate_or_end(self) -> None:
        """The final weights are evaluated on test data, if there are any, others now and then on validation data."""
        state, settings = self._state, self.settings
        if state.blocks.all_used(below=ceil(settings.epochs * state.blocks.per_epoch)):
            state.evaluation = self._evaluation_of("test", together=True)
            state.phase = Phase.DONE if state.evaluation is None else Phase.TEST
        elif self._evaluation_due():
            state.evaluations += 1
            if state.evaluation is None:  # else the one before is still under way, and this one is left out
                state.evaluation = self._evaluation_of("validation", together=False)

    def _evaluation_of(self, split: str, *, together: bool) -> Evaluation | None:
        state = self._state
        samples = state.samples[split]
        return Evaluation(split, state.step, state.weights, samples, together) if samples else None

    def _evaluation_due(self) -> bool:
        state, every = self._state, self.settings.evaluate_every
        if "rounds" in every:
            return state.step >= (state.evaluations + 1) * every["rounds"]
        return state.blocks.used >= (state.evaluations + 1) * every["epochs"] * state.blocks.per_epoch

    def _evaluated(self, told: Told) -> Sequence[Row]:
        state = self._state
        evaluation = state.evaluation
        if evaluation is None or not evaluation.takes(told.work):
            return ()  # of an evaluation that the final one replaced
        if told.result.failure is not None:
            evaluation.failed(told.work, told.result.failure)
            return ()
        evaluation.came(told)
        if not evaluation.complete:
            return ()
        state.evaluation = None
        if evaluation.split == "test":
            state.phase = Phase.DONE
        return [Row(evaluation.step, evaluation.metrics())]
