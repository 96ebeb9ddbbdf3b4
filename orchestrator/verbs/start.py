"""The model that a run starts from, as what is given to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.spec import Spec


def given_start(spec: Spec, start: str | None) -> Mapping[str, Path]:
    """Its file, under the name "start"; nothing for fresh weights. Raises SourceMissing."""
    if start is None:
        return {}
    from orchestrator.sources import model_file

    state = Path(spec.state)
    return {"start": model_file(start, state, spec.tracking_uri(state))}
