"""A journal in this process's memory, for tests and virtual runs."""

from collections.abc import Iterator

from orchestrator.errors import JournalDamaged
from orchestrator.journal.codec import decode, encode
from orchestrator.journal.records import Record, Resumed, Started


class MemoryJournal:
    """The journal's contract kept by a list of encoded records: what a file would refuse, it refuses too.

    After a pretended crash the next engine is handed the same object.

    position: how many records were ever appended, so that of the next one.
    fence: number of the engine that is about to introduce itself by Started or Resumed.
    """

    def __init__(self) -> None:
        self._records: list[bytes | None] = []  # None: forgotten
        self.fence = 1

    @property
    def position(self) -> int:
        return len(self._records)

    def append(self, record: Record) -> None:
        self._records.append(encode(record))
        if isinstance(record, Started | Resumed):
            self.fence += 1

    def records(self, since: int = 0) -> Iterator[Record]:
        for position in range(since, len(self._records)):
            data = self._records[position]
            if data is None:
                raise JournalDamaged("the journal in memory", 0, f"record {position} was forgotten")
            yield decode(data)

    def forget(self, before: int) -> None:
        """Records before this position go, save the very first; the others keep their positions."""
        for position in range(1, min(before, len(self._records))):
            self._records[position] = None

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
