"""What is told of a run at its end; kept in its folder, so that it can be told again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec


class ModelFiles(msgspec.Struct, frozen=True):
    """What a trained model is made of.

    weights: safetensors, as `safetensors.torch.save_model` writes it. task, arguments: `package.module:Class` and what
    its `model()` was called with. example: safetensors with one batch of the model's input, called "input".
    """

    weights: Path
    task: str
    arguments: dict[str, Any]
    example: Path


class Child(msgspec.Struct, frozen=True):
    """A part of a run that is worth a run of its own in MLflow, such as one of the best trials of a search.

    key: of this child within the run, the same whenever it is told, such as "trial-17". metrics: (name, value, step).
    started_s, ended_s: by the run's clock. model: what it left, or None.
    """

    key: str
    name: str
    params: Mapping[str, str]
    metrics: Sequence[tuple[str, float, int]]
    started_s: float = 0.0
    ended_s: float = 0.0
    model: ModelFiles | None = None


class Final(msgspec.Struct, frozen=True):
    """How a run ended, and what it leaves.

    outcome: done, failed or interrupted. metrics: final ones; they are linked to the model. artifacts: a folder whose
    files are uploaded under "results/". children: nested runs, each recorded once. registered: name of the registered
    model that the model becomes a version of. tags: of the run; texts are cut after 5,000 characters. ended_ms: Unix
    time; None: when it is told first. figures: of the run rather than its model. measured: when each metric was, in
    seconds of the run's clock, and at which step, so that it is the point that it was before; one that is not in it
    is of the last step that was told.
    """

    outcome: str
    metrics: Mapping[str, float] = {}
    model: ModelFiles | None = None
    artifacts: Path | None = None
    children: Sequence[Child] = ()
    registered: str | None = None
    tags: Mapping[str, str] = {}
    ended_ms: int | None = None
    figures: Mapping[str, float] = {}
    measured: Mapping[str, tuple[float, int]] = {}
