"""A journal's records read back from its folder, whether or not an engine is writing to it meanwhile."""

import gzip
import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import msgspec

from orchestrator.errors import JournalDamaged
from orchestrator.journal.codec import decode
from orchestrator.journal.records import Record, Started
from orchestrator.journal.segment import LONGEST_HEADER_BYTES, Header, SegmentReader, decode_header

_SEGMENT = re.compile(r"segment-(\d{6,})\.log(?:\.gz)?")


def segment_path(folder: Path, number: int) -> Path:
    """Where the engine writes a segment."""
    return folder / f"segment-{number:06d}.log"


def compressed_path(plain: Path) -> Path:
    """Where a segment lies once it is closed and compressed."""
    return plain.with_name(plain.name + ".gz")


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of all segments in a folder, rising."""
    return sorted({int(match[1]) for path in folder.iterdir() if (match := _SEGMENT.fullmatch(path.name))})


class JournalReader:
    """What a journal's folder holds. Needs no lock, keeps no file open, sees at each call what is there by then.

    run: only a journal of this run will do; None: of whichever.

    Raises, from every method:
        JournalDamaged: a bad record that is not the torn tail of the newest segment; another run's journal; records
            that are asked for and not there.
    """

    def __init__(self, folder: Path, run: str | None = None) -> None:
        self._folder, self._run = folder, run

    def records(self, since: int = 0) -> Iterator[Record]:
        """Records from position `since` on up to the last whole one; a torn tail ends them without a word.

        Memory: one segment. Cost: 8 µs a wake of 8 results, and 1 µs a record passed over.
        """
        numbers = segment_numbers(self._folder)
        first = max(bisect_right(numbers, since, key=lambda number: self.header(number).position) - 1, 0)
        position: int | None = None
        for number in numbers[first:]:
            segment = self.segment(number)
            position = self._require_next(
                segment, min(since, segment.header.position) if position is None else position
            )
            for payload in segment:
                if position >= since:
                    yield _decode(segment, payload)
                position += 1
            if segment.end < segment.size and number != numbers[-1]:
                raise JournalDamaged(str(segment.file), segment.end, "the segment is closed, but its end is missing")

    def started(self) -> Started | None:
        """The first record of all, which is never forgotten; None: nothing was written yet."""
        first = next(self.records(), None)
        return first if isinstance(first, Started) else None

    def segment(self, number: int) -> SegmentReader:
        """One segment, compressed or not: its header is checked, its frames are when they are iterated."""
        segment = SegmentReader(*self._read(number))
        self._require_own(segment.file, segment.header)
        return segment

    def header(self, number: int) -> Header:
        """Whose segment it is. Cost: 0.1 ms, whatever the segment's size."""
        file, data = self._read(number, LONGEST_HEADER_BYTES)
        header, _, _ = decode_header(file, data)
        self._require_own(file, header)
        return header

    def _read(self, number: int, size: int = -1) -> tuple[Path, bytes]:
        """The segment's file and its first `size` bytes, or all."""
        plain = segment_path(self._folder, number)
        compressed = compressed_path(plain)
        try:
            try:
                with plain.open("rb") as file:
                    return plain, file.read(size)
            except FileNotFoundError:  # closed and compressed, maybe since its name was read
                with gzip.open(compressed) as unpacked:
                    return compressed, unpacked.read(size)
        except FileNotFoundError:
            raise JournalDamaged(str(plain), 0, "the segment is missing") from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise JournalDamaged(str(compressed), 0, f"the segment cannot be decompressed ({error})") from None

    def _require_own(self, file: Path, header: Header) -> None:
        if self._run is not None and header.run != self._run:
            raise JournalDamaged(str(file), 0, f"the journal belongs to run {header.run!r}, not to {self._run!r}")

    def _require_next(self, segment: SegmentReader, expected: int) -> int:
        """The position of the segment's first record, if that is the expected one."""
        if segment.header.position == expected:
            return expected
        raise JournalDamaged(
            str(segment.file),
            0,
            f"the segment begins with record {segment.header.position} where record {expected} should be: those "
            "between were forgotten (keep_journal: since_snapshot) or their segment is lost",
        )


def _decode(segment: SegmentReader, payload: memoryview) -> Record:
    try:
        return decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalDamaged(
            str(segment.file), segment.end, f"the record is of a kind that this version does not know ({error})"
        ) from None
