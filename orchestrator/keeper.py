"""What happens to a journal after each snapshot: copied to storage, and forgotten as far as the spec allows."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import structlog

from orchestrator.folder import RunFolder
from orchestrator.journal.file import FileJournal
from orchestrator.journal.snapshots import Snapshots
from orchestrator.journal.storage import JournalCopy
from orchestrator.spec import Spec
from orchestrator.storage import Storage
from orchestrator.uris import below, printable

_log = structlog.get_logger()


class Keeper:
    """Copies in a thread of its own, one copy at a time; a storage that is away is tried again after the next snapshot.

    On leaving `with` it copies once more and waits for that.
    Raises CopyConflict, from whichever comes next: the storage holds another journal under this run's name.
    """

    def __init__(self, spec: Spec, files: RunFolder, journal: FileJournal, snapshots: Snapshots) -> None:
        self._spec, self._journal, self._snapshots = spec, journal, snapshots
        self._copy: JournalCopy | None = None
        if spec.storage:
            storage = Storage(below(spec.storage, files.run, "journal"))
            self._copy = JournalCopy(storage, files.journal, files.snapshots)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keeper")
        self._copying: Future[None] | None = None

    def snapshot_taken(self) -> None:
        if self._spec.keep_journal == "since_snapshot":
            self._journal.forget(self._snapshots.needed_since())
        if self._copy is not None and (self._copying is None or self._copying.done()):
            if self._copying is not None:
                self._copying.result()
            self._journal.close_segment()
            self._copying = self._thread.submit(self._copy_now, self._copy)

    def _copy_now(self, copy: JournalCopy) -> None:
        try:
            copy.copy()
        except OSError as error:
            _log.warning(
                "copy_failed", storage=printable(str(self._spec.storage)), error=str(error), so="the next one goes on"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._copy is not None:
            self._journal.close_segment()
            self._copying = self._thread.submit(self._copy_now, self._copy)
        self._thread.shutdown(wait=True)
        if self._copying is not None and error is None:
            self._copying.result()
