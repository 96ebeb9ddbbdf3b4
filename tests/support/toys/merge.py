"""Merges of points in the bowl of `toys.train`: parents lie around its bottom, so that means are better than they."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from orchestrator.pools.latency import chance
from orchestrator.quorum import make_quorum
from orchestrator.strategies.merging import Merging
from orchestrator.strategies.merging_settings import MergingSettings, Parents, Wanted
from tests.support.toys.case import Answer, Case, Kinds
from tests.support.toys.train import SIZE, evaluate, init


def _trial(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """A step from the start in a direction of its own; number 3 diverges."""
    if params["number"] == 3:
        return {}, {"diverged": 1.0}
    step = [chance(seed, params["number"], i) - 0.5 for i in range(SIZE)]
    weights = inputs["weights"]["w"] * 0.3 + torch.tensor(step, dtype=torch.float64)
    return {"weights": {"w": weights}}, {"diverged": 0.0}


def _merge(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    mean = sum(inputs[f"source.{number}"]["w"] for number in range(params["sources"])) / params["sources"]
    alpha = params["options"].get("alpha", 1.0)
    return {"weights": {"w": inputs["base"]["w"] * (1 - alpha) + mean * alpha}}, {}


def _predict(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    return {"predictions": {"p": inputs["weights"]["w"] * 2}}, {}


def _ensemble(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    numbers = range(len(params["members"]))
    mean = sum(inputs[f"predictions.{number}"]["p"] for number in numbers) / (2 * len(numbers))
    return {"weights": {"w": mean}}, {f"weight.{number}": 1 / len(numbers) for number in numbers}


def _atlas(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    outputs, _ = _merge(inputs, {**params, "options": {"alpha": 0.5}}, seed, work_id)
    return outputs, {"better": 1.0}


KINDS: Kinds = {
    "init": init,
    "trial": _trial,
    "merge": _merge,
    "predict": _predict,
    "ensemble": _ensemble,
    "atlas": _atlas,
    "evaluate": evaluate,
}


def strategy(*recipes: str, count: int = 5, start_epochs: float = 1.0) -> Merging:
    """Of parents trained here, by loss; task_arithmetic on a grid of three."""
    wanted = [Wanted(recipe) for recipe in recipes if recipe != "task_arithmetic"]
    if "task_arithmetic" in recipes:
        wanted.extend(Wanted("task_arithmetic", {"alpha": alpha}) for alpha in (0.0, 0.5, 1.0))
    parents = Parents(count, start_epochs, 1.0, {"batch_size": 10})
    return Merging(MergingSettings(wanted, parents=parents, metric="loss", mode="min"))


CASES: Mapping[str, Case] = {
    name: Case(partial(strategy, *recipes, count=9), partial(make_quorum, "full"), KINDS)
    for name, recipes in {
        "greedy merge": ("greedy_soup",),
        "merge of all kinds": ("uniform", "greedy_soup", "task_arithmetic", "ensemble", "atlas"),
    }.items()
}
"""Merges of parents trained in the run."""
