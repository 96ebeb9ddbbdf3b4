"""What the kinds of work of synchronous training are asked: inputs and params, from settings and state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.records import AGGREGATOR, Counts, Json, Place
from orchestrator.strategies.evaluation import Evaluation
from orchestrator.strategies.question import Question
from orchestrator.strategies.training.learning_rate import factor, tested
from orchestrator.strategies.training.settings import SyncTrainingSettings
from orchestrator.strategies.training.state import Phase, State

RANGE_STEPS = 60
LOW, HIGH = 1e-3, 1e2  # of a range test, times the learning rate that was given


def init(settings: SyncTrainingSettings) -> Question:
    params = {"optimizer": settings.stepped_by}
    return Question("init", {}, params, Place(role=AGGREGATOR), Counts.REQUIRED)


def range_tests(settings: SyncTrainingSettings, state: State) -> Sequence[Question]:
    """One for each k that is tested, with the batches of so many workers."""
    lr = float(settings.optimizer["lr"])
    params: Mapping[str, Json] = {
        **_backward(settings, state),
        "micro_batch_size": settings.backward.get("micro_batch_size") or settings.batch_size,
        "steps": RANGE_STEPS,
        "low": LOW * lr,
        "high": HIGH * lr,
        "optimizer": settings.optimizer,
        "clip_norm": settings.clip_norm,
    }
    return [
        Question(
            "range_test",
            {"weights": state.weights},
            {**params, "batch_size": k * settings.batch_size},
            Place(),
            Counts.REQUIRED,
        )
        for k in tested(settings.workers)
    ]


def gradient(settings: SyncTrainingSettings, state: State, worker: str, number: int) -> Question:
    """Of the newest weights on block `number`, by a worker that nobody else can stand in for."""
    epoch, block = divmod(number, state.blocks.per_epoch)
    params: dict[str, Json] = {
        "epoch": epoch,
        "block": block,
        "batch_size": settings.batch_size,
        **_backward(settings, state),
    }
    inputs = {"weights": state.weights}
    kind = "gradient"
    if settings.local is not None:
        kind = "local_steps"
        params |= {"steps": settings.local.steps, "optimizer": settings.optimizer, "clip_norm": settings.clip_norm}
        params |= _scheduled(settings, state)
        if worker in state.inner:
            inputs["inner"] = state.inner[worker]
    return Question(kind, inputs, params, Place(worker=worker), Counts.QUORUM, settings.late)


def aggregate(settings: SyncTrainingSettings, state: State, lawa: bool) -> Question:
    """lawa: whether the averaged weights are due."""
    inputs = {"weights": state.weights, "optimizer": state.optimizer}
    inputs.update({f"gradient.{gradient.work_id}": gradient.ref for gradient in state.gradients})
    if state.previous_mean:
        inputs.update(previous_mean=state.previous_mean, previous_weights=state.previous_weights)
    params: dict[str, Json] = {
        "gradients": [gradient.work_id for gradient in state.gradients],
        "samples": [gradient.samples for gradient in state.gradients],
        "optimizer": settings.stepped_by,
        "clip_norm": None if settings.local else settings.clip_norm,
        "keep_mean": settings.gradient_statistics,
        "lr_factor": factor(len(state.gradients), settings.workers, state.exponent),
    }
    if settings.local is None:
        params |= _scheduled(settings, state)
    if settings.ema is not None:
        params["ema"] = min(settings.ema, (1 + state.step) / (10 + state.step))
        inputs |= {"average": state.average} if state.average else {}
    if lawa:
        kept = {f"kept.{number}": ref for number, ref in enumerate(state.kept)}
        inputs |= kept
        params["lawa"] = list(kept)
    return Question("aggregate", inputs, params, Place(role=AGGREGATOR), Counts.REQUIRED)


def evaluation_part(evaluation: Evaluation, start: int, count: int, phase: Phase) -> Question:
    """During training beside the aggregates; at the end on whoever is free, for nothing else is left to do."""
    place = Place() if phase is Phase.TEST else Place(role=AGGREGATOR)
    params: Mapping[str, Json] = {"split": evaluation.split, "start": start, "count": count}
    return Question("evaluate", {"weights": evaluation.weights}, params, place, Counts.ASIDE)


def _backward(settings: SyncTrainingSettings, state: State) -> Mapping[str, Json]:
    if settings.backward.get("precision") == "float16":
        return {**settings.backward, "loss_scale": state.scale.scale}
    return settings.backward


def _scheduled(settings: SyncTrainingSettings, state: State) -> Mapping[str, Json]:
    rate = settings.learning_rate
    if rate.schedule is None:
        return {}
    count = state.step if rate.per == "round" else (state.blocks.used - len(state.gradients)) // state.blocks.per_epoch
    return {"scheduled": {"schedule": rate.schedule, "count": count}}
