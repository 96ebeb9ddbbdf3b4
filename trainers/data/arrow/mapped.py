"""An Arrow IPC file mapped into memory, so that its columns are views of the page cache that all processes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from trainers.data.arrow.converted import PARQUET, begins_with, converted, reading

_FILE_FORMAT, _END = b"ARROW1", b"\xff\xff\xff\xff\0\0\0\0"


class Mapped(NamedTuple):
    """content: the file, uint8 [size_bytes], read-only. batches: views of it. address: of content's first byte."""

    file: Path
    content: np.ndarray[Any, Any]
    address: int
    schema: Any
    batches: tuple[Any, ...]


def mapped(file: Path, cache: Path) -> Mapped:
    """Arrow IPC in file or stream format. Parquet and compressed Arrow cannot be mapped and are converted into `cache`.

    Raises:
        DataInvalid: missing, damaged, cut short, or of another format.
    Cost: 30 µs a record batch; the first time that a host sees a file to be converted, reading and writing it.
    """
    opened = None if begins_with(file, PARQUET) else _open(file)
    return opened or _open_converted(converted(file, cache))


def _open_converted(file: Path) -> Mapped:
    opened = _open(file)
    assert opened is not None, f"{file} was written uncompressed"
    return opened


def _open(file: Path) -> Mapped | None:
    """None if its buffers are compressed."""
    with reading(file):
        buffer = pa.memory_map(str(file)).read_buffer()
        schema, batches = _read(buffer, begins_with(file, _FILE_FORMAT))
        kept = []
        for batch in batches:
            batch.validate()
            if not all(_inside(buffer, column) for column in batch.columns):
                return None
            kept.append(batch)
    return Mapped(file, np.frombuffer(buffer, np.uint8), buffer.address, schema, tuple(kept))


def _read(buffer: Any, file_format: bool) -> tuple[Any, Iterator[Any]]:
    if not file_format:
        if buffer.size < len(_END) or buffer[-len(_END) :].to_pybytes() != _END:
            raise pa.ArrowInvalid("its stream has no end")  # pyarrow takes a stream cut between two messages for whole
        stream = pa.ipc.open_stream(buffer)
        return stream.schema, iter(stream)
    file = pa.ipc.open_file(buffer)
    return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))


def _inside(buffer: Any, column: Any) -> bool:
    return all(
        part is None or part.size == 0 or buffer.address <= part.address <= buffer.address + buffer.size - part.size
        for part in column.buffers()
    )
