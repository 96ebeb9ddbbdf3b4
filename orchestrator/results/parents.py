"""Lineage: the runs whose models a run began with, as tags of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from orchestrator.sources import MLFLOW
from orchestrator.tracking.identity import load_identity
from orchestrator.verbs.verb import Finished


def parents(finished: Finished, ours: Iterable[str], theirs: Iterable[str] = ()) -> Mapping[str, str]:
    """ours: runs of this state folder, by name. theirs: runs in MLflow, by id; those of ours are added, where known.

    Tags ripieno.parents and ripieno.parents.mlflow: JSON lists; none that is empty.
    """
    state, names = finished.files.state, list(dict.fromkeys(ours))
    ids = [*theirs, *(load_identity(state / name, finished.spec.tracking_uri(state)) for name in names)]
    tags = {"ripieno.parents": names, "ripieno.parents.mlflow": [run_id for run_id in ids if run_id]}
    return {tag: json.dumps(runs) for tag, runs in tags.items() if runs}


def parents_of_start(finished: Finished, start: str | None) -> Mapping[str, str]:
    """Of a run that starts from one model, named as in its spec; none of a file."""
    kind, _, name = (start or "").partition(":")
    if kind == "run":
        return parents(finished, [name])
    return parents(finished, [], [name]) if f"{kind}:" == MLFLOW else {}
