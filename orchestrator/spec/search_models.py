"""Whether every model of a search can be made: tried without memory, before a trial fails of it after hours."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.searching.basis import basis, covering
from orchestrator.searching.declaration import names
from orchestrator.searching.space import Space
from orchestrator.searching.training import Training
from orchestrator.spec.problems import Complaint, Keys, dotted

if TYPE_CHECKING:
    from trainers import Task

MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What a wrong argument raises; what else is raised may come from making a model without memory."""


def model_problems(task: str, training: Training, space: Space) -> Iterator[Complaint]:
    """Each value of a choice and each end of a range below `model` that the task's model() does not take.

    Made on torch's device "meta": shapes are real, weights are not. What only that device cannot do is no complaint.
    Cost: one call of model() for each value.
    """
    from trainers.loading import load_task, require_model_arguments

    keys: list[Keys] = [("search", "space", *place) for place, _ in names(space)]
    searched = {str(place[-1]).split(".")[1] for place in keys if str(place[-1]).startswith("model.")}
    try:
        loaded = load_task(task)
        require_model_arguments(loaded, {*training.model, *searched})
    except (Exception, SystemExit):  # that has been said already
        return
    categories = basis(space, 2)
    tried: set[str] = set()
    for number, config in covering(categories):
        name, arguments = categories[number].name, training.of(config)["model"]
        assert isinstance(arguments, Mapping)
        if not name.startswith("model.") or (text := json.dumps(arguments, sort_keys=True)) in tried:
            continue
        tried.add(text)
        if raised := _raised(loaded, arguments):
            call = f"{type(loaded).__name__}.model({name.removeprefix('model.')}={config[name]!r})"
            yield Complaint((keys[number], ("task",)), f"{dotted(keys[number])}: {call} raises {raised}.")


def _raised(task: Task, arguments: Mapping[str, Any]) -> str:
    """What the user's model() says to these arguments, or ""."""
    import torch

    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            task.model(**arguments)
    except MISTAKES as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
        return "" if "meta" in told else told
    except Exception:  # not for sure a mistake of the user's
        return ""
    return ""
