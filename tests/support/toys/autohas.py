"""AutoHAS on a bowl: a configuration is a rate and a depth, some rates diverge, and shared weights are a bowl's too."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from orchestrator.pools.latency import chance
from orchestrator.quorum import make_quorum
from orchestrator.searching.basis import basis
from orchestrator.searching.policy import PolicySettings
from orchestrator.searching.space import Choice, Float, Parameter, Space
from orchestrator.searching.training import Training
from orchestrator.strategies import Autohas, AutohasSettings, FinaleSettings
from orchestrator.strategies.autohas import Weights
from orchestrator.strategies.chains import Course
from tests.support.toys.case import Answer, Case
from tests.support.toys.search import trial
from tests.support.toys.train import CURVATURE, evaluate, init

RATE = Parameter("optimizer.lr", Float(0.01, 10.0, log=True))
DEPTH = Parameter("model.depth", Choice.of(1, 2, 3))
CLIMBING = PolicySettings(learning_rate=0.5, floor=0.05, entropy=0.001)


def _candidate(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    """Steps down the bowl from the shared weights; above a rate of 5 it is left."""
    w = inputs.get("shared", init({}, {}, seed + params["draw"], 0)[0]["weights"])["w"]
    rate = params["optimizer"]["lr"]
    if rate > 5:
        return {}, {"diverged": 1.0, "steps": 1.0}
    for _ in range(params["steps"]):
        w = w - rate / 5 * CURVATURE * w
    noise = 0.01 * chance(seed, params["draw"], params["start"])  # the same for all candidates of an update
    height = float((CURVATURE * w * w).sum() / 2)
    deep = 0.1 * params["model"].get("depth", 1)
    return {}, {"diverged": 0.0, "steps": float(params["steps"]), "validation_loss": height + deep + noise}


def _share(inputs: Mapping[str, Any], params: Any, seed: int, work_id: int) -> Answer:
    w = inputs["shared"]["w"] if inputs else init({}, {}, seed + params["draw"], 0)[0]["weights"]["w"]
    for arguments in params["models"]:
        w = w * (1 - 0.01 * arguments["depth"])
    return {"shared": {"w": w}}, {"used": float(len(params["models"])), "steps": float(len(params["models"]))}


def strategy(weights: Weights, late: bool, updates: int = 12) -> Autohas:
    training = Training({"name": "sgd", "lr": 0.1}, batch_size=10)
    course = Course(training, "loss", "min", every=0.5)
    space = Space((DEPTH,) if weights == "kept" else (RATE, DEPTH))
    settings = AutohasSettings(
        basis(space, 4),
        seed=3,
        final=FinaleSettings(course, top=2, seeds=2, epochs=1.0, keep=2),
        policy=CLIMBING,
        updates=updates,
        steps=5,
        weights=weights,
        renew=3,
        warm_up=3 if weights == "kept" else 0,
        confident=0.99,
        late=late,
    )
    return Autohas(settings)


KINDS = {"candidate": _candidate, "share": _share, "trial": trial, "init": init, "evaluate": evaluate}

CASES: Mapping[str, Case] = {
    "autohas-fresh, late ones used": Case(partial(strategy, "fresh", True), partial(make_quorum, "static", k=3), KINDS),
    "autohas-young, late ones dropped": Case(
        partial(strategy, "young", False), partial(make_quorum, "static", k=3), KINDS
    ),
    "autohas-kept": Case(partial(strategy, "kept", True), partial(make_quorum, "full"), KINDS),
}
