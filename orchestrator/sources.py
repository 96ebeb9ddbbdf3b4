"""Models that were there before a run, as a user names them: found on this machine, or fetched from MLflow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from orchestrator.errors import BadInput
from orchestrator.folder import RunFolder
from orchestrator.local import ARGUMENTS, TASK
from orchestrator.uris import printable
from trainers import Tensors
from trainers.merging import Source, open_source

MLFLOW = "mlflow:"
"""How a source begins that is a run in MLflow."""

FORMS = "run:RUN, search:RUN/top:N, mlflow:RUN_ID, a .safetensors file or a folder of shards"
FETCH_TIMEOUT_S = 600.0
SQLITE = "sqlite:///"
SEARCHED = re.compile(r"(?P<run>[^/]+)(/top:(?P<top>[1-9][0-9]*))?")


class SourceMissing(BadInput):
    """There is no such model. source: as the user wrote it. problem: a clause that says what would do."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source, self.problem = source, problem

    def __str__(self) -> str:
        return f"{self.source!r} {self.problem}"


class FoundModel(NamedTuple):
    """A model on disk. arguments: of Task.model, None if it does not say. run: of ours, that made it, or ""."""

    name: str
    path: Path
    arguments: Mapping[str, Any] | None
    task: str
    run: str

    def opened(self) -> Source:
        """Raises SourceInvalid."""
        return open_source(self.name, self.path)


def find_models(source: str, state: Path, tracking_uri: str = "") -> Sequence[FoundModel]:
    """The models that a source stands for: one, or of a search the best of those that it kept.

    state: the folder of runs. tracking_uri: where MLflow's runs are.
    Raises:
        SourceMissing: there is none, or what is there is not a model yet.
    """
    kind, _, rest = source.partition(":")
    if kind == "run":
        files = _run(source, state, rest)
        if not files.model.exists() and (stages := sorted(state.glob(f"{files.run}.*-*/model.safetensors"))):
            raise SourceMissing(source, f"is a chain; name one of its stages, such as run:{stages[-1].parent.name}")
        if not files.model.exists():
            raise SourceMissing(source, f"is a run that has left no model yet; see `ripieno show {rest}`")
        return [_described(source, files.model, files.run)]
    if kind == "search":
        return _trials(source, state, rest)
    if kind == "mlflow":
        return [_described(source, _fetched(source, rest, tracking_uri), "")]
    path = Path(source)
    if not path.exists():
        raise SourceMissing(source, f"is not there; a model is named by {FORMS}")
    return [_described(source, path, "")]


def model_file(source: str, state: Path, tracking_uri: str = "") -> Path:
    """The one model that a source stands for; of a search its best. Raises SourceMissing."""
    return find_models(source, state, tracking_uri)[0].path


def tensors_of(path: Path) -> Tensors:
    """All tensors of a file or a folder of shards, in memory. Raises SourceInvalid."""
    source = open_source(str(path), path)
    return {name: source.tensor(name) for name in source.headers}


def _run(source: str, state: Path, name: str) -> RunFolder:
    files = RunFolder(state / name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or not files.spec.exists():
        raise SourceMissing(source, f"names no run in {state}; `ripieno list` shows those there are")
    return files


def _trials(source: str, state: Path, rest: str) -> Sequence[FoundModel]:
    match = SEARCHED.fullmatch(rest)
    if match is None:
        raise SourceMissing(source, "is not of the form search:RUN/top:N, with N >= 1")
    files = _run(source, state, match["run"])
    models = sorted((files.path / "models").glob("*.safetensors"))
    if not models:
        raise SourceMissing(source, "is a run that has kept no trials; only a search that has ended does")
    best = models[: int(match["top"] or len(models))]
    return [_described(f"{files.run}/{model.stem}", model, files.run) for model in best]


def _described(name: str, path: Path, run: str) -> FoundModel:
    """What the file says of itself in its metadata; a folder says nothing."""
    about: Mapping[str, str] = {}
    if path.is_file():
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise SourceMissing(name, f"is no safetensors file ({error})") from error
    arguments = json.loads(about[ARGUMENTS]) if ARGUMENTS in about else None
    return FoundModel(name, path, arguments, about.get(TASK, ""), run)


def _fetched(source: str, run_id: str, tracking_uri: str) -> Path:
    """Where MLflow's model lies on this machine now; fetched once."""
    if not re.fullmatch(r"[A-Za-z0-9]{1,64}", run_id):
        raise SourceMissing(source, "is not of the form mlflow:RUN_ID")
    database = Path(tracking_uri.removeprefix(SQLITE))
    if tracking_uri.startswith(SQLITE) and not database.exists():  # MLflow would make it
        raise SourceMissing(source, f"cannot be had from MLflow: there is no {database}; tracking.uri names another")
    folder = Path(gettempdir()) / f"ripieno-fetched-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SourceMissing(source, f"cannot be fetched: {folder} is somebody else's")
    file = folder / f"{run_id}.safetensors"
    if file.exists():
        return file
    command = [sys.executable, "-m", "orchestrator.tracking.fetch_model", tracking_uri, run_id, str(file)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise SourceMissing(source, f"could not be fetched within {FETCH_TIMEOUT_S:g} s") from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SourceMissing(source, f"cannot be had from MLflow: {printable(why)}")
    return file
