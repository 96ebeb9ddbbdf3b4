"""A learning problem so small that thousands of runs of it fit into a test: noisy gradients of a quadratic bowl.

Every answer is a function of the seed and the work, as real ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from orchestrator.pools.execute import Execute
from orchestrator.pools.latency import chance
from orchestrator.protocols import Values
from orchestrator.quorum import QUORUMS, make_quorum
from orchestrator.records import Late
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
from orchestrator.strategies.training import Checkpoints, EarlyStopping, Lawa, LearningRate, LocalSteps
from tests.support.toys.case import Answer, Case, Kinds, execute

SIZE = 3
CURVATURE = torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64)


def toy(
    values: Values, *, seed: int = 0, train_samples: int = 240, did: Callable[[int], None] | None = None
) -> Execute:
    """Executes the kinds of `SyncTraining` on the bowl."""
    return execute(kinds(train_samples), values, seed, did)


def init(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int, train_samples: int = 240) -> Answer:
    """Weights near (1, 1, 1)."""
    weights = torch.tensor([1 + chance(seed, i) for i in range(SIZE)], dtype=torch.float64)
    metrics = {"train_samples": float(train_samples), "validation_samples": 1500.0, "test_samples": 2100.0}
    return {"weights": {"w": weights}, "optimizer": {"step": torch.zeros(())}}, metrics


def _gradient(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """The noise belongs to the block of data, not to the attempt: the same block gives the same gradient."""
    w = inputs["weights"]["w"]
    noise = [chance(seed, params["epoch"], params["block"], i) - 0.5 for i in range(SIZE)]
    gradient = CURVATURE * w + torch.tensor(noise, dtype=torch.float64)
    loss = float((CURVATURE * w * w).sum() / 2)
    metrics = {"loss": loss, "norm2": float(gradient @ gradient), "samples": 10.0}
    if "loss_scale" in params:
        metrics["loss_scale"] = min(params["loss_scale"], 2.0 ** (10 + params["block"] % 5))
    return {"gradient": {"g": gradient}}, metrics


def _local_steps(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """So many steps along gradients that differ by their number; the inner optimizer remembers how many it took."""
    w, taken = inputs["weights"]["w"], inputs["inner"]["taken"] if "inner" in inputs else torch.zeros(())
    moved = w.clone()
    for step in range(params["steps"]):
        noise = [chance(seed, params["epoch"], params["block"], step, i) - 0.5 for i in range(SIZE)]
        moved = moved - params["optimizer"]["lr"] / (1 + taken) * (CURVATURE * moved + torch.tensor(noise))
    way = w - moved
    metrics = {"loss": float((CURVATURE * w * w).sum() / 2), "norm2": float(way @ way), "samples": 10.0, "reach": 0.4}
    return {"gradient": {"g": way}, "inner": {"taken": taken + params["steps"]}}, metrics


def _range_test(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """Steps may grow as the root of the batch."""
    return {}, {"knee": 0.1 * params["batch_size"] ** 0.5}


def _aggregate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    gradients = [inputs[f"gradient.{work}"]["g"] for work in params["gradients"]]
    mean = sum(gradients, torch.zeros(SIZE, dtype=torch.float64)) / len(gradients)
    weights = inputs["weights"]["w"]
    rate = params["optimizer"]["lr"] * params["lr_factor"]
    metrics = {"norm2": float(mean @ mean), "learning_rate": rate, "effective_learning_rate": rate}
    if "previous_mean" in inputs:
        change = mean - inputs["previous_mean"]["g"]
        step = weights - inputs["previous_weights"]["w"]
        metrics |= {
            "change_norm2": float(change @ change),
            "step_norm2": float(step @ step),
            "step_dot_gradient": float(step @ mean),
        }
    outputs = {
        "weights": {"w": weights - rate * mean},
        "optimizer": {"step": inputs["optimizer"]["step"] + 1},
    }
    if params["keep_mean"]:
        outputs["mean"] = {"g": mean}
    new = outputs["weights"]["w"]
    if "ema" in params:
        average = inputs["average"]["w"] if "average" in inputs else new
        outputs["average"] = {"w": params["ema"] * average + (1 - params["ema"]) * new}
    if "lawa" in params:
        versions = [*(inputs[name]["w"] for name in params["lawa"]), new]
        outputs["average"] = {"w": sum(versions, torch.zeros(SIZE, dtype=torch.float64)) / len(versions)}
    return outputs, metrics


def evaluate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """The bowl's height at the weights."""
    w = inputs["weights"]["w"]
    return {}, {"loss": float((CURVATURE * w * w).sum() / 2), "samples": float(params["count"])}


def kinds(train_samples: int = 240) -> Kinds:
    return {
        "init": partial(init, train_samples=train_samples),
        "gradient": _gradient,
        "local_steps": _local_steps,
        "range_test": _range_test,
        "aggregate": _aggregate,
        "evaluate": evaluate,
    }


def strategy(quorum: str = "full", **more: Any) -> SyncTraining:
    settings: dict[str, Any] = {
        "batch_size": 10,
        "epochs": 2,
        "optimizer": {"name": "sgd", "lr": 0.2},
        "evaluate_every": {"rounds": 7},
        "gradient_statistics": quorum in ("dynamic", "dbw"),
    }
    return SyncTraining(SyncTrainingSettings(**{**settings, **more}))


OPTIONS: Mapping[str, Mapping[str, object]] = {"static": {"k": 3}}

IN_FULL: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "interrupted": ("dynamic", {"late": Late.INTERRUPT}),
    "float16 and ema": ("rate", {"backward": {"precision": "float16"}, "ema": 0.9}),
    "local steps": ("dynamic", {"local": LocalSteps(3, {"name": "sgd", "lr": 0.7})}),
    "best, lawa": (
        "static",
        {
            "best": ("loss", "min"),
            "stopping": EarlyStopping(3, 1e-4),
            "lawa": Lawa(3, {"rounds": 4}),
            "checkpoints": Checkpoints({"rounds": 5}, 2),
        },
    ),
    "knee, per epoch": (
        "dynamic",
        {"workers": 5, "learning_rate": LearningRate("knee", {"name": "StepLR", "step_size": 1}, "epoch")},
    ),
}
"""By name: a quorum, and settings that are not the usual ones."""


def _case(quorum: str, more: Mapping[str, Any]) -> Case:
    return Case(partial(strategy, quorum, **more), partial(make_quorum, quorum, **OPTIONS.get(quorum, {})), kinds())


CASES: Mapping[str, Case] = {quorum: _case(quorum, {}) for quorum in QUORUMS} | {
    name: _case(quorum, more) for name, (quorum, more) in IN_FULL.items()
}
"""Training with every quorum, and in every other way."""
