"""The spec of a later stage of a chain: a run's own, that starts from what the stage before it left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.spec.common import VerbSection
from orchestrator.spec.federate import Federate
from orchestrator.spec.merge import Merge
from orchestrator.spec.models import VERBS, Spec
from orchestrator.spec.search import Search

BEST_TRIALS = 8
"""Of a search, as many go into a merge that names no sources of its own."""


def alone(spec: Spec, number: int) -> Spec:
    """Stage `number` >= 1 as a spec of its own, with nothing filled in."""
    stage = spec.then[number - 1]
    return spec.model_copy(update={**{verb: getattr(stage, verb) for verb in VERBS}, "then": []})


def continued(spec: Spec, number: int, before: str, model: Mapping[str, Any]) -> Spec:
    """The spec of stage `number` >= 1, complete.

    before: the run of the stage before. model: the arguments of the model it left; the stage's own come first.
    """
    verb_before = spec.verb if number == 1 else spec.then[number - 2].verb
    stage = alone(spec, number)
    filled = FROM[stage.verb](stage.section, verb_before, before)
    section = stage.section.model_copy(update={**filled, "model": {**model, **stage.section.model}})
    return stage.model_copy(update={stage.verb: section})


def _into_merge(section: VerbSection, verb_before: str, run: str) -> Mapping[str, Any]:
    """What a search found best, or the one model of anything else."""
    assert isinstance(section, Merge)
    if section.sources or section.parents is not None:
        return {}
    return {"sources": [f"search:{run}/top:{BEST_TRIALS}" if verb_before == "search" else f"run:{run}"]}


def _into_search(section: VerbSection, verb_before: str, run: str) -> Mapping[str, Any]:
    """Every trial from the one model that came before."""
    assert isinstance(section, Search)
    return {} if section.start is not None else {"start": f"run:{run}"}


def _into_federate(section: VerbSection, verb_before: str, run: str) -> Mapping[str, Any]:
    """The one model that came before."""
    assert isinstance(section, Federate)
    return {} if section.start is not None else {"start": f"run:{run}"}


FROM: Mapping[str, Callable[[VerbSection, str, str], Mapping[str, Any]]] = {
    "federate": _into_federate,
    "merge": _into_merge,
    "search": _into_search,
}
"""By verb that can continue: (its section, the verb before, its run) -> keys to fill in, unless they are given."""
