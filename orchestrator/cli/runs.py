"""The runs below a state folder: which there are, and which one is meant."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from orchestrator.errors import BadInput
from orchestrator.folder import RunFolder
from orchestrator.outcome import Outcome
from orchestrator.outcome_file import load_outcome
from orchestrator.uris import printable_spec
from orchestrator.words import did_you_mean

LAST = "last"
"""Stands for the run that was started last."""


class NoSuchRun(BadInput):
    """No run, or more than one, is called so. known: all runs of the state folder, the newest first."""

    def __init__(self, name: str, state: str, known: tuple[str, ...]) -> None:
        super().__init__(name, state, known)
        self.name, self.state, self.known = name, state, known

    def __str__(self) -> str:
        if not self.known:
            return (
                f"there are no runs in {self.state}; start one with `ripieno run SPEC`, or name its folder by --state."
            )
        meant = [run for run in self.known if run.startswith(self.name)]
        if meant:
            return f"{self.name!r} begins the names of {', '.join(meant)}; give a few letters more."
        near = did_you_mean(self.name, self.known) or "."
        newest = f"`last` is the newest, {self.known[0]}"
        return f"no run {self.name!r} in {self.state}{near} {newest}; `ripieno list` shows all."


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its files show it.

    spec: without passwords. started_s: since the epoch. status: "running", "stopped", or how it ended.
    """

    folder: Path
    spec: Mapping[str, Any]
    started_s: float
    status: str
    outcome: Outcome | None

    @property
    def run(self) -> str:
        return self.folder.name


def all_runs(state: Path) -> list[Run]:
    """All runs of a state folder, the newest first; none if it is not there."""
    runs = [load_run(file.parent) for file in state.glob("*/spec.json")]
    return sorted(runs, key=lambda run: (run.started_s, run.run), reverse=True)


def load_run(folder: Path) -> Run:
    """One run from its folder."""
    file, outcome = RunFolder(folder).spec, load_outcome(folder)
    try:
        spec: Any = printable_spec(json.loads(file.read_bytes()))
    except ValueError:
        spec = {}
    ended = outcome.outcome if outcome else "stopped"
    return Run(folder, spec, file.stat().st_mtime, "running" if _is_running(folder) else ended, outcome)


def find_run(state: Path, name: str) -> Path:
    """The folder of the run with this id, of the only one whose id begins so, or of the `last` one.

    Raises:
        NoSuchRun: there is none, or more than one.
    """
    by_age = sorted(state.glob("*/spec.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    folders = [file.parent for file in by_age]
    if name == LAST and folders:
        return folders[0]
    exact = [folder for folder in folders if folder.name == name]
    meant = exact or [folder for folder in folders if folder.name.startswith(name)]
    if len(meant) != 1:
        raise NoSuchRun(name, str(state), tuple(folder.name for folder in folders))
    return meant[0]


def _is_running(folder: Path) -> bool:
    """Whether the process that last took the journal's lock lives on this machine, and the run has not ended since."""
    files = RunFolder(folder)
    lock = files.journal / "lock"
    try:
        locked_s = lock.stat().st_mtime
        if files.outcome.exists() and files.outcome.stat().st_mtime >= locked_s:
            return False
        pid, host = lock.read_text().splitlines()[-1].split()
        return host == socket.gethostname() and psutil.Process(int(pid)).create_time() <= locked_s + 1
    except (OSError, IndexError, ValueError, psutil.Error):
        return False
