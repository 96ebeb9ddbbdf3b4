"""What a search leaves: the table of its trials, a picture, the best models, and a nested run for each of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.folder import RunFolder
from orchestrator.local import arguments_of
from orchestrator.records import Json, Ref
from orchestrator.results.search_picture import draw_search
from orchestrator.results.trial_rows import TrialRow, json_text, write_table
from orchestrator.tracking import Child, ModelFiles
from orchestrator.verbs.verb import Finished


@dataclass(frozen=True, slots=True)
class Best:
    """One of the best trials, with its weights and the arguments of the task's `model()` that they fit."""

    row: TrialRow
    weights: Ref
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Judged:
    """metric: of the task. mode: "max" or "min"."""

    metric: str
    mode: str


def models_of(files: RunFolder) -> Path:
    """Where the best trials' models lie: <rank from 01>-trial-<number>.safetensors."""
    return files.path / "models"


def write_search(finished: Finished, rows: Sequence[TrialRow], best: Sequence[Best], judged: Judged) -> Sequence[Child]:
    """Writes all of it; returns the best trials as nested runs, the best first.

    rows: every trial. best: the best first.
    """
    files = finished.files
    files.results.mkdir(exist_ok=True)
    models_of(files).mkdir(exist_ok=True)
    write_table(rows, files.results / "trials.arrow")
    draw_search(rows, judged.metric, judged.mode, files.results / "trials.png")
    children = []
    for rank, trial in enumerate(best, start=1):
        file = models_of(files) / f"{rank:02d}-trial-{trial.row.trial}.safetensors"
        finished.local.save_model(finished.values.get(trial.weights), trial.arguments, file)
        model = ModelFiles(file, finished.spec.task, arguments_of(file), files.example)
        children.append(_child(trial.row, judged, model))
    return children


def _child(row: TrialRow, judged: Judged, model: ModelFiles) -> Child:
    name = f"validation_{judged.metric}"
    steps = list(enumerate(row.points, start=1))
    metrics = [(name, value, step) for step, (_, value) in steps]
    metrics += [("epochs", epochs, step) for step, (epochs, _) in steps]
    return Child(
        key=f"trial-{row.trial}",
        name=f"trial {row.trial}",
        params={"status": row.status, **{parameter: json_text(value) for parameter, value in row.config.items()}},
        metrics=metrics,
        started_s=row.began_s,
        ended_s=row.ended_s,
        model=model,
    )
