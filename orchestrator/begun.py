"""The run that a command which is given again has begun before: for jobs that are submitted once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

from orchestrator.errors import BadInput
from orchestrator.folder import RunFolder
from orchestrator.journal.lock import JournalLock
from orchestrator.journal.reader import JournalReader
from orchestrator.records import Json
from orchestrator.spec import Spec
from orchestrator.verbs import verb_of

NAMED = 5
"""Keys that are named where specs differ; of more their number."""


class OtherSpec(BadInput):
    """A run goes by that name and was begun with another spec. differing: the keys."""

    def __init__(self, run: str, folder: str, differing: tuple[str, ...]) -> None:
        super().__init__(run, folder, differing)
        self.run, self.folder, self.differing = run, folder, differing

    def __str__(self) -> str:
        named = ", ".join(self.differing[:NAMED])
        more = f" and {len(self.differing) - NAMED} more" if len(self.differing) > NAMED else ""
        return (
            f"run {self.run!r} in {self.folder} was begun with another spec: {named}{more} differ. Go on with it as it "
            f"was begun (ripieno resume {self.run}), or choose another name."
        )


def begun(spec: Spec, name: str) -> Path | None:
    """The folder of the run of this name, if it has begun; None: it is still to be started.

    Raises:
        OtherSpec: it was begun with another spec; where its state lies does not count. JournalHeld: it is just being
        begun. JournalDamaged.
    """
    files = RunFolder(Path(spec.state).resolve() / name)
    if not has_begun(files):
        return None
    started = JournalReader(files.journal, name).started()
    assert started is not None
    asked = spec if spec.then else verb_of(spec).resolved(spec)
    differing = tuple(key for key in _differing(started.spec, asked.model_dump(mode="json")) if key != "state")
    if differing:
        raise OtherSpec(name, str(files.path), differing)
    return files.path


def has_begun(files: RunFolder) -> bool:
    """Whether a run is there. One that was killed before its first record is removed, so that it can be started.

    Raises JournalHeld: it is just being begun. JournalDamaged.
    """
    if not files.path.exists():
        return False
    reader = JournalReader(files.journal, files.run)
    if files.journal.exists() and reader.started() is not None:
        return True
    files.journal.mkdir(exist_ok=True)
    lock = JournalLock(files.journal)
    try:
        if reader.started() is None:
            rmtree(files.path)
            return False
        return True
    finally:
        lock.release()


def _differing(one: Json, other: Json, key: str = "") -> Iterator[str]:
    """The keys of values that differ, dotted."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            yield from _differing(one.get(name), other.get(name), f"{key}.{name}" if key else name)
    elif one != other:
        yield key
