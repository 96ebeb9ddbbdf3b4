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
from orchestrator.strategies import SyncTraining, SyncTrainingSettings
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
    return {"gradient": {"g": gradient}}, {"loss": loss, "norm2": float(gradient @ gradient), "samples": 10.0}


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
    return outputs, metrics


def evaluate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """The bowl's height at the weights."""
    w = inputs["weights"]["w"]
    return {}, {"loss": float((CURVATURE * w * w).sum() / 2), "samples": float(params["count"])}


def kinds(train_samples: int = 240) -> Kinds:
    return {
        "init": partial(init, train_samples=train_samples),
        "gradient": _gradient,
        "aggregate": _aggregate,
        "evaluate": evaluate,
    }


def _strategy(quorum: str) -> SyncTraining:
    return SyncTraining(
        SyncTrainingSettings(
            batch_size=10,
            epochs=2,
            optimizer={"name": "sgd", "lr": 0.2},
            evaluate_every={"rounds": 7},
            gradient_statistics=quorum in ("dynamic", "dbw"),
        )
    )


OPTIONS: Mapping[str, Mapping[str, object]] = {"static": {"k": 3}}

CASES: Mapping[str, Case] = {
    quorum: Case(partial(_strategy, quorum), partial(make_quorum, quorum, **OPTIONS.get(quorum, {})), kinds())
    for quorum in QUORUMS
}
"""Training with every quorum."""
