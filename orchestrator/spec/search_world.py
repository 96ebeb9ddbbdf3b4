"""What a `search` names outside itself: arguments of the model, and options of optimizers in all of its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.searching.basis import basis, covering
from orchestrator.searching.declaration import names, read_space
from orchestrator.searching.training import Training
from orchestrator.spec.metric_world import metric_problems
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, dotted
from orchestrator.spec.search import Search
from orchestrator.spec.search_models import model_problems
from orchestrator.spec.start_world import start_problems

SPACE: Keys = ("search", "space")


def training_of(search: Search) -> Training:
    """What all trials share."""
    optimizer = {"name": search.optimizer.name, **search.optimizer.options}
    return Training(optimizer, search.batch_size, search.clip_norm, search.model)


def search_world(spec: Spec) -> Iterator[Complaint]:
    """Tries each value of a choice and each end of a range once. Cost: 0.3 ms each, and a model without memory."""
    search = spec.search
    assert search is not None
    yield from metric_problems(spec, (spec.verb, "metric"), search.metric)
    space, faults = read_space(search.space)
    if faults:
        return
    places: dict[str, Keys] = {parameter.name: (*SPACE, *keys) for keys, parameter in reversed([*names(space)])}
    said: set[str] = set()
    for _, config in covering(basis(space, 2)):
        settings = training_of(search).of(config)["optimizer"]
        assert isinstance(settings, Mapping)
        if not (isinstance(lr := settings["lr"], int | float) and lr > 0):  # that has been said already
            settings = {**settings, "lr": search.optimizer.lr}
        if not isinstance(settings["name"], str):
            continue
        if why := _problem(settings):
            name = _culprit(settings, why)
            keys = places.get(f"optimizer.{name}", ("search", "optimizer", name))
            if why not in said:
                yield Complaint((keys, ("search", "optimizer")), f"{dotted(keys)}: {why}")
            said.add(why)
    yield from model_problems(spec.task, training_of(search), space)
    if search.start is not None:
        yield from start_problems(spec, search.start)


def _problem(settings: Mapping[str, Any]) -> str:
    """What is wrong with an optimizer, or ""."""
    from trainers.errors import OptimizerInvalid
    from trainers.optimizers import check_optimizer

    try:
        check_optimizer(settings)
    except OptimizerInvalid as error:
        return f"{error.name!r}: {error.problem.rstrip('.')}."
    return ""


def _culprit(settings: Mapping[str, Any], why: str) -> str:
    """The option without which it would not be wrong in this way; the name if there is none."""
    for option in settings:
        rest = {name: value for name, value in settings.items() if name != option}
        if option not in ("name", "lr") and _problem(rest) != why:
            return option
    return "name"
