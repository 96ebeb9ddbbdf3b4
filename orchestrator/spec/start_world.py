"""The model that a run starts from: it must be there, be the task's, of the same arguments, and finite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, complaint

if TYPE_CHECKING:
    from orchestrator.sources import FoundModel


def start_problems(spec: Spec, start: str) -> Iterator[Complaint]:
    """start: that of the spec's verb. Cost: reads the model once; a download from MLflow."""
    from orchestrator.errors import BadInput
    from orchestrator.sources import find_models

    keys, section = (spec.verb, "start"), spec.section
    try:
        model = find_models(start, Path(spec.state), spec.tracking_uri(Path(spec.state)))[0]
    except BadInput as error:
        yield complaint(keys, f"{str(error).rstrip('.')}.")
        return
    if model.arguments is not None and model.arguments != section.model:
        why = (
            f"is a model with the arguments {model.arguments}, but {spec.verb}.model is {section.model}. Give the same."
        )
        yield complaint(keys, why, (spec.verb, "model"))
    elif why := _unusable(spec, model):
        yield complaint(keys, why, (spec.verb, "model"), ("task",))


def _unusable(spec: Spec, model: FoundModel) -> str:
    """What is wrong with the tensors themselves, or ""."""
    from orchestrator.merge_models import misfit
    from trainers import load_task
    from trainers.merging import unusable
    from trainers.merging.errors import SourceInvalid, SourceNonFinite

    try:
        task = load_task(spec.task)
    except (Exception, SystemExit):  # told elsewhere
        return ""
    try:
        source = model.opened()
    except SourceInvalid as invalid:
        return f"cannot be read: {invalid.problem}."
    if why := misfit(task, model.arguments or spec.section.model, source):
        return f"{why}. Give {spec.verb}.model the arguments it was made with."
    for error in unusable([source], allow_unrelated=True):
        assert isinstance(error, SourceNonFinite)
        why = f"has NaN or Inf in {error.count:,} of the {error.size:,} numbers of tensor {error.tensor!r}"
        return f"{why}. Take an earlier checkpoint of it."
    return ""
