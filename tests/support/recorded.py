"""Wakes of training runs as an engine would hand them to its observers: core and virtual pool, nothing computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.assemble import core_of
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import VirtualPool
from orchestrator.records import Actions, Ref, Wake, Work
from orchestrator.spec import Spec

SAMPLES = {"train_samples": 6400.0, "validation_samples": 640.0, "test_samples": 1000.0, "parameters": 1000.0}


def spec_of(**train: object) -> Spec:
    """A small spec; train: keys of its section of that name."""
    optimizer = {"name": "sgd", "lr": 0.1, "momentum": 0.9}
    return Spec.model_validate({"task": "some.task:Digits", "train": {"workers": 4, "optimizer": optimizer} | train})


def wakes_of(spec: Spec, *, mean_s: float = 0.1) -> Iterator[tuple[Wake, Actions]]:
    """A whole run; a gradient takes mean_s on average, and five times as long on the last worker."""
    fast, slow = ShiftedExponential(0.2, mean_s), ShiftedExponential(0.2, 5 * mean_s)
    latency = Latency(model=fast, by_worker={spec.section.most_workers - 1: slow}, by_kind={"evaluate": Constant(0.01)})
    core, pool = core_of(spec), VirtualPool(spec.section.most_workers, _answer, seed=spec.seed, latency=latency)
    while not core.finished:
        wake = pool.wait(core.deadline_s)
        actions = core.handle(wake)
        pool.submit(actions.submit)
        yield wake, actions


def _answer(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
    outputs = {name: Ref(f"{work.id}.{name}") for name in ("weights", "optimizer", "gradient", "mean")}
    if work.kind == "init":
        return outputs, SAMPLES
    if work.kind == "evaluate":
        return {}, {"accuracy": 0.9, "loss": 0.3, "samples": float(str(work.params["count"]))}
    loss = 2.0 / (1 + work.id / 50)
    return outputs, {
        "loss": loss,
        "norm2": 1.0 + 1 / (1 + work.id),
        "samples": 64.0,
        "learning_rate": 0.05,
        "effective_learning_rate": 0.5,
    }
