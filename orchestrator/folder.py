"""Where the parts of a run lie: one folder a run, below the state folder."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir


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
    def kept(self) -> Path:
        """Values that could not be made again: what was given at the start, and what came from others' data."""
        return self.path / "kept"

    @property
    def results(self) -> Path:
        """Pictures and tables, and whatever else a verb leaves besides the model."""
        return self.path / "results"

    @property
    def checkpoints(self) -> Path:
        """Versions of the model that were asked for on the way."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def example(self) -> Path:
        """A batch of the model's input."""
        return self.path / "example.safetensors"

    @property
    def outcome(self) -> Path:
        return self.path / "outcome.json"


SHARED_PREFIX = "ripieno-"
_NAME = 32
"""Characters of a run's name that its shared memory shows: a unix socket in there has 107 bytes for its whole path."""


def shared_memory_of(folder: Path) -> Path:
    """Where the engine of the run in this folder and its workers on this host hand values over.

    In memory where there is such a disk. Two runs of one name in two state folders have two of them.
    """
    memory = Path("/dev/shm")
    here = sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return (memory if memory.is_dir() else Path(gettempdir())) / f"{SHARED_PREFIX}{folder.name[:_NAME]}-{here}"
