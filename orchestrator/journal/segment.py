"""The bytes of one segment: a header that says whose it is, then frames, each sealed by a checksum.

    header  magic 8s | format u16 | fence u64 | position u64 | length of run id u16 | run id | CRC32 u32
    frame   length u32 | CRC32 of the payload u32 | seal u32 | payload

A frame's seal is the CRC32 of its length and payload checksum, continued from the seal before it, and the first one
from the header's checksum. So no frame can be changed, left out, moved or taken from another segment unnoticed; and
because the seal vouches for the length, an append that was cut short can be told from damage:

- torn: the bytes after the last good frame are the beginning of one more (or zeros, which is what a file system may
  leave after loss of power). Only the newest segment can have such a tail, and only of what was not yet synced.
- damaged: anything else.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from orchestrator.errors import JournalDamaged

_MAGIC = b"ripieno\0"
_FORMAT = 1
_HEAD = struct.Struct("<8sHQQH")
_CRC = struct.Struct("<I")
_SEALED = struct.Struct("<II")
_FRAME = struct.Struct("<III")

LONGEST_HEADER_BYTES = _HEAD.size + 0xFFFF + _CRC.size


class Header(NamedTuple):
    """Whose segment it is. fence: of the engine that wrote it; position: of its first record, from 0."""

    run: str
    fence: int
    position: int


def encode_header(header: Header) -> tuple[bytes, int]:
    """The header's bytes, and the seal that the first frame continues."""
    run = header.run.encode()
    head = _HEAD.pack(_MAGIC, _FORMAT, header.fence, header.position, len(run)) + run
    seal = crc32(head)
    return head + _CRC.pack(seal), seal


def encode_frame(payload: bytes, seal: int) -> tuple[bytes, int]:
    """A payload's frame, and the seal that the next frame continues. Cost: 1 µs for 800 bytes."""
    sealed = _SEALED.pack(len(payload), crc32(payload))
    seal = crc32(sealed, seal)
    return b"".join((sealed, _CRC.pack(seal), payload)), seal


def decode_header(file: Path, data: bytes) -> tuple[Header, int, int]:
    """The header at the beginning of a segment, its length in bytes, and the seal that the first frame continues.

    Raises:
        JournalDamaged: not a segment, one of a newer format, or a bad checksum.
    """
    if data[: len(_MAGIC)] != _MAGIC[: len(data)] or len(data) < _HEAD.size + _CRC.size:
        raise JournalDamaged(str(file), 0, "this is not a segment of a Ripieno journal")
    _, version, fence, position, run_bytes = _HEAD.unpack_from(data)
    if version != _FORMAT:
        raise JournalDamaged(
            str(file), len(_MAGIC), f"the segment has format {version}, this version of Ripieno reads {_FORMAT}"
        )
    end = _HEAD.size + run_bytes
    seal = crc32(data[:end])
    if data[end : end + _CRC.size] != _CRC.pack(seal):
        raise JournalDamaged(str(file), 0, "the segment's header fails its checksum")
    return Header(data[_HEAD.size : end].decode(), fence, position), end + _CRC.size, seal


class SegmentReader:
    """The payloads of one segment, in order, each checked before it is handed out; iterate once.

    end: bytes up to and including the last good frame; once iterated, `end < size` means a torn tail.
    count: frames read so far. seal: what a frame appended at `end` would continue.

    Raises:
        JournalDamaged: a header or frame that is not as it was written.
    """

    def __init__(self, file: Path, data: bytes) -> None:
        self.file, self.size = file, len(data)
        self.header, self.end, self.seal = decode_header(file, data)
        self.count = 0
        self._data = data

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(self._data)
        while self.end + _FRAME.size <= self.size:
            length, checksum, seal = _FRAME.unpack_from(view, self.end)
            start = self.end + _FRAME.size
            if crc32(view[self.end : self.end + _SEALED.size], self.seal) != seal:
                return self._require_torn(start, "a record's header fails its checksum")
            if crc32(view[start : start + length]) != checksum:
                return self._require_torn(start + length, "a record fails its checksum")
            yield view[start : start + length]
            self.end, self.seal = start + length, seal
            self.count += 1

    def _require_torn(self, frame_end: int, reason: str) -> None:
        """Cut short means: nothing but zeros after this frame."""
        if len(self._data.rstrip(b"\0")) > frame_end:
            raise JournalDamaged(str(self.file), self.end, reason)
