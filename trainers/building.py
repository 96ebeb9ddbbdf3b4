"""A model from its arguments: the task's own, or an ensemble of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from trainers.merging.ensemble import Ensemble
from trainers.task import Task

MEMBERS = "ensemble.members"
"""The one argument of an ensemble: a list with the arguments of each member. No parameter in Python has such a name."""


def build_model(task: Task, arguments: Mapping[str, Any]) -> nn.Module:
    """`task.model(**arguments)`, or an `Ensemble` where the arguments are those of one; freshly initialised."""
    if MEMBERS in arguments:
        members: Sequence[Mapping[str, Any]] = arguments[MEMBERS]
        return Ensemble([task.model(**member) for member in members])
    return task.model(**arguments)
