"""Values as checksummed chunks, for workers that share no memory with the engine."""

from collections.abc import Iterator
from zlib import crc32

from protos.ripieno_pb2 import Chunk

CHUNK_BYTES = 1 << 19
"""Between 256 KiB and 1 MiB a gRPC stream over TLS is fastest; half a MiB keeps a cancel from waiting long."""


class Damaged(Exception):
    """A value did not arrive as it was sent. name, reason."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"value {self.name} arrived damaged: {self.reason}"


def split(name: str, value: memoryview) -> Iterator[Chunk]:
    """The chunks of a value, at least one. Cost: one copy and one crc32 of its bytes, made as they are asked for."""
    for offset in range(0, max(len(value), 1), CHUNK_BYTES):
        data = bytes(value[offset : offset + CHUNK_BYTES])
        yield Chunk(name=name, offset=offset, size_bytes=len(value), data=data, crc32=crc32(data))


class Joiner:
    """Puts the chunks of one stream together again. Holds one unfinished value at most."""

    def __init__(self) -> None:
        self._name, self._size_bytes = "", 0
        self._data = bytearray()

    def add(self, chunk: Chunk) -> tuple[str, bytes] | None:
        """The value that this chunk completes, with its name; None while it goes on.

        Raises:
            Damaged: a checksum or the order is wrong. The rest of that value is damaged too, chunk by chunk.
        """
        if chunk.offset == 0:
            self._name, self._size_bytes, self._data = chunk.name, chunk.size_bytes, bytearray()
        if chunk.name != self._name or chunk.offset != len(self._data):
            raise self._damage(chunk, f"byte {chunk.offset} came when byte {len(self._data)} was due")
        if chunk.size_bytes != self._size_bytes:
            raise self._damage(chunk, f"{self._size_bytes} bytes were announced, and then {chunk.size_bytes}")
        if chunk.offset + len(chunk.data) > self._size_bytes:
            raise self._damage(chunk, f"it is longer than the {self._size_bytes} bytes that were announced")
        if crc32(chunk.data) != chunk.crc32:
            raise self._damage(chunk, f"the bytes from {chunk.offset} on fail their checksum")
        self._data += chunk.data
        if len(self._data) < self._size_bytes:
            return None
        name, data = self._name, bytes(self._data)
        self._name, self._data = "", bytearray()
        return name, data

    def _damage(self, chunk: Chunk, reason: str) -> Damaged:
        self._name, self._data = "", bytearray()
        return Damaged(chunk.name, reason)
