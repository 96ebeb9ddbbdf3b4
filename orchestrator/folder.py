"""Where the parts of a run lie: one folder a run, below the state folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run; nothing is made or read here."""

    path: Path

    @property
    def run(self) -> str:
        return self.path.name

    @property
    def state(self) -> Path:
        return self.path.parent

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def values(self) -> Path:
        return self.path / "values"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def outcome(self) -> Path:
        return self.path / "outcome.json"
