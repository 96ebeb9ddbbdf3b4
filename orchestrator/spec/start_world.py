"""The model that a run starts from: it must be there, and be of the same arguments if it says of which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, complaint


def start_problems(spec: Spec, start: str) -> Iterator[Complaint]:
    """start: that of the spec's verb. Cost: a look at the run's folder, or a download from MLflow."""
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
