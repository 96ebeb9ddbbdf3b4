"""A run whose disk is lost, brought back from the copy in its storage."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.errors import RunExists
from orchestrator.folder import RunFolder
from orchestrator.journal.durable import sync_folder, write_durably
from orchestrator.journal.storage import JournalCopy
from orchestrator.recorded_run import read_run
from orchestrator.storage import Storage
from orchestrator.uris import below


def fetch(storage: str, run: str, state: Path) -> tuple[str, ...]:
    """Makes the run's folder in the state folder as its newest copy has it; then it can be resumed or replayed.

    storage: as the run's spec has it. Returns a sentence for each file of the copy that could not be had; what came
    after the copy was made is lost, and is computed again.
    The folder appears whole; a restore that breaks off leaves nothing.
    Raises:
        RunExists: there is such a run in the state folder already. JournalDamaged: there is no copy of it.
        StorageInvalid: that cannot be a storage.
    """
    folder = state.resolve() / run
    if folder.exists():
        raise RunExists(run, str(folder))
    source = Storage(below(storage, run, "journal"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".restoring-", dir=folder.parent) as aside:
        files = RunFolder(Path(aside) / run)
        lost = JournalCopy(source, files.journal, files.snapshots).restore()
        spec = read_run(files.path).spec
        write_durably(files.spec, [spec.model_dump_json(indent=2).encode(), b"\n"])
        files.path.rename(folder)
    sync_folder(folder.parent)
    return lost
