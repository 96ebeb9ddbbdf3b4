"""The journal of a run as segments in a folder, written by one engine at a time."""

import gzip
import os
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import structlog

from orchestrator.errors import JournalDamaged
from orchestrator.journal.codec import encode
from orchestrator.journal.durable import write_durably
from orchestrator.journal.lock import JournalLock
from orchestrator.journal.reader import JournalReader, compressed_path, segment_numbers, segment_path
from orchestrator.journal.records import Record
from orchestrator.journal.segment import Header
from orchestrator.journal.writer import SegmentWriter

_SYNC_EVERY_S = 0.05
_log = structlog.get_logger()


class TornTail(NamedTuple):
    """What was cut off the newest segment when it was opened: an append that the last engine did not finish."""

    file: str
    offset: int
    lost_bytes: int


class FileJournal:
    """Opens a run's journal for writing, and makes its folder if there is none.

    Every engine begins a new segment with a fencing number higher than all before it. Segments are closed at
    `segment_bytes` and compressed by a thread. The first record has a segment of its own and is kept for ever.
    A crash at any instant loses no record that `append` has returned for; loss of power at most those of the last
    50 ms before it that were not `sync`ed.

    Used from one thread; owns two: one syncs every 50 ms, the other compresses. Until `close`, or the end of the
    process, no other engine can open the folder for writing.

    run: id of the run; a journal of another one is refused.
    fence: 1 for the first engine that wrote here, then counting up.
    torn: what was cut off the end of the journal while it was opened, if anything.

    Raises:
        JournalHeld: another engine writes it. JournalDamaged: another run's journal, or its newest segment is bad.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, run: str, *, segment_bytes: int = 8 << 20) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._segment_bytes = folder, segment_bytes
        self._reader = JournalReader(folder, run)
        self._lock = JournalLock(folder)
        try:
            self._number, last_fence, self.position, self.torn = _end_of(folder, self._reader)
            self._number += 1
            header = Header(run, last_fence + 1, self.position)
            self._segment = SegmentWriter(segment_path(folder, self._number), header)
        except BaseException:
            self._lock.release()
            raise
        self.fence = header.fence
        self._switching = threading.Lock()  # held to sync the open segment, and to exchange it for the next
        self._unsynced = False
        self._sync_error: OSError | None = None
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_regularly, name="journal-sync", daemon=True)
        self._syncer.start()
        self._compressor = self._compress_closed()

    def append(self, record: Record) -> None:
        """Writes one record; on return it survives SIGKILL of this process.

        Raises:
            JournalLost: another engine has taken over. OSError: the disk is full or failing.
            TypeError, OverflowError, UnicodeEncodeError: a record that could not be read back (codec.encode).
            After any of them the journal holds what it held before the call.
        Cost: 5 µs for a wake of 8 results; three syncs more every `segment_bytes`.
        """
        payload = encode(record)
        self._lock.check()
        self._require_synced()
        if self._segment.size_bytes >= self._segment_bytes or (
            self.position == 1 and self._segment.header.position == 0
        ):
            self._rotate()
        self._segment.append(payload)
        self._unsynced = True
        self.position += 1

    def records(self, since: int = 0) -> Iterator[Record]:
        """As JournalReader.records; may raise JournalDamaged."""
        return self._reader.records(since)

    def sync(self) -> None:
        """On return everything appended survives loss of power. Raises OSError. Cost: one fdatasync, if any is due."""
        with self._switching:
            self._require_synced()
            if self._unsynced:
                self._unsynced = False  # before the sync: what is appended meanwhile is due again
                try:
                    self._segment.sync()
                except OSError as error:
                    self._sync_error = error
                    raise

    def forget(self, before: int) -> None:
        """Deletes segments that hold only records before this position, save the very first; the others keep theirs.

        A crash in the middle leaves a journal that reads the same from `before` on.
        """
        self._compressor.join()
        numbers = segment_numbers(self._folder)
        for number, following in pairwise(numbers):
            if self._reader.header(following).position > before:
                break
            if self._reader.header(number).position > 0:
                plain = segment_path(self._folder, number)
                plain.unlink(missing_ok=True)
                compressed_path(plain).unlink(missing_ok=True)

    def close_segment(self) -> None:
        """Begins a new segment, so that everything appended so far is in closed, compressed ones, ready to be copied.

        Raises OSError, JournalLost. Cost: three syncs, and 10 ms a MB to compress.
        """
        self._lock.check()
        if self.position > self._segment.header.position:
            self._rotate()
        self._compressor.join()
        _compress(self._folder, self._number)

    def close(self) -> None:
        """Syncs and lets the next engine in. Raises OSError if that sync fails; closed it is all the same.

        A second call does nothing.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._syncer.join()
        self._compressor.join()
        try:
            self.sync()
        finally:
            self._segment.close()
            self._lock.release()

    def _rotate(self) -> None:
        """The old segment is durable before the next one exists: only the newest can ever have a torn tail."""
        self.sync()
        closed = self._segment
        header = closed.header._replace(position=self.position)
        following = SegmentWriter(segment_path(self._folder, self._number + 1), header)
        with self._switching:
            self._segment = following
            self._number += 1
        closed.close()
        if not self._compressor.is_alive():
            self._compressor = self._compress_closed()

    def _require_synced(self) -> None:
        """After a failed sync nobody knows what the disk holds, so nothing more is promised."""
        if self._sync_error is not None:
            raise OSError(self._sync_error.errno, self._sync_error.strerror, str(self._segment.file))

    def _sync_regularly(self) -> None:
        while not self._closing.wait(_SYNC_EVERY_S):
            try:
                self.sync()
            except OSError as error:
                _log.error("journal_not_synced", file=str(self._segment.file), error=str(error))
                return

    def _compress_closed(self) -> threading.Thread:
        """Compresses, in a thread, what is closed by now; what a crash left half done included."""
        compressor = threading.Thread(
            target=_compress, args=(self._folder, self._number), name="journal-compress", daemon=True
        )
        compressor.start()
        return compressor


def _end_of(folder: Path, reader: JournalReader) -> tuple[int, int, int, TornTail | None]:
    """Number and fence of the newest segment, the position after its last record, and the torn tail cut off it."""
    numbers = segment_numbers(folder)
    if not numbers:
        return 0, 0, 0, None
    newest = reader.segment(numbers[-1])
    for _ in newest:
        pass
    torn = TornTail(str(newest.file), newest.end, newest.size - newest.end) if newest.end < newest.size else None
    if newest.file == segment_path(folder, numbers[-1]):
        with newest.file.open("r+b") as file:
            file.truncate(newest.end)
            os.fsync(file.fileno())  # for the last engine, which may have died before it could
    elif torn:
        raise JournalDamaged(torn.file, torn.offset, "the segment is closed, but its end is missing")
    if torn:
        _log.warning("torn_tail_cut", file=torn.file, offset=torn.offset, lost_bytes=torn.lost_bytes)
    return numbers[-1], newest.header.fence, newest.header.position + newest.count, torn


def _compress(folder: Path, newest: int) -> None:
    """Compresses the segments older than `newest`. At any instant each is there whole, plain or compressed or both."""
    for number in segment_numbers(folder):
        plain = segment_path(folder, number)
        if number < newest and plain.exists():
            try:
                compressed = compressed_path(plain)
                if not compressed.exists():  # else a crash came between the two
                    write_durably(compressed, [gzip.compress(plain.read_bytes(), 1, mtime=0)])
                plain.unlink()
            except OSError as error:  # the plain segment serves as well
                _log.warning("segment_not_compressed", file=str(plain), error=str(error))
