"""Searches with every searcher, on a bowl: a configuration is a rate, and some rates diverge."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from orchestrator.quorum import First
from orchestrator.searching.searcher import Scope
from orchestrator.searching.searchers import SEARCHERS
from orchestrator.searching.space import Float, Parameter, Space
from orchestrator.searching.training import Training
from orchestrator.strategies.chains import Course
from orchestrator.strategies.trials import Trials, TrialsSettings
from tests.support.toys.case import Answer, Case
from tests.support.toys.train import CURVATURE, evaluate, init

SPACE = Space((Parameter("optimizer.lr", Float(0.01, 10.0, log=True)),))


def trial(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """Steps down the bowl, ten an epoch; above a rate of 5 it is left."""
    start = init({}, {}, seed + params["number"], 0)[0]["weights"]
    w, count = inputs.get("weights", start)["w"], inputs.get("optimizer", {"step": torch.zeros(())})["step"]
    steps = round((params["end"] - params["start"]) * 10)
    rate = params["optimizer"]["lr"]
    if rate > 5:
        return {}, {"diverged": 1.0, "samples": 1.0}
    for _ in range(steps):
        w = w - rate / 5 * CURVATURE * w
    height = float((CURVATURE * w * w).sum() / 2)
    metrics = {"diverged": 0.0, "samples": 10.0 * steps, "validation_loss": height}
    return {"weights": {"w": w}, "optimizer": {"step": count + steps}}, metrics


def _strategy(name: str) -> Trials:
    training = Training({"name": "sgd", "lr": 0.1}, batch_size=10)
    course = Course(training, "loss", "min", every=0.5)
    settings = TrialsSettings(course, trials=9, epochs=2.0, top=2, seeds=2, keep=3)
    options = {"startup": 3} if name == "tpe" else {}
    return Trials(settings, SEARCHERS[name](Scope(SPACE, 3, 9, 2.0), **options))


CASES: Mapping[str, Case] = {
    f"search-{name}": Case(partial(_strategy, name), First, {"trial": trial, "init": init, "evaluate": evaluate})
    for name in SEARCHERS
}
