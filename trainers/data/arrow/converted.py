"""Parquet, and Arrow files with compressed buffers, as uncompressed Arrow IPC files: made once a host, then mapped."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainers.errors import DataInvalid

PARQUET = b"PAR1"  # what the file begins with: the cache of the Hub links to files without a suffix
ROWS = 1_024  # of a record batch: bounds the memory of a conversion, and costs nothing in access


def converted(file: Path, cache: Path) -> Path:
    """The Arrow file in `cache` that holds what `file` does, made if it is not there.

    It is named by the file's path, inode, size and time of change, so a changed file is converted anew, and what was
    made of it before goes. Processes that ask at once wait for the one that converts. It is renamed into place when
    it is whole: a killed conversion leaves nothing that would be taken for one.
    Raises:
        DataInvalid: `file` cannot be read, or `cache` cannot be written.
    """
    path, status = file.resolve(), file.stat()
    name = sha256(str(path).encode()).hexdigest()[:16]
    version = sha256(f"{status.st_ino} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    target = cache / f"{name}-{version}.arrow"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it when this process dies
            if not target.exists():
                unfinished = cache / f"{name}.unfinished"
                _convert(path, unfinished)
                for old in cache.glob(f"{name}-*.arrow"):
                    old.unlink()
                unfinished.rename(target)
    except OSError as error:
        raise DataInvalid(
            str(file), f"cannot be converted into {cache} ({error.strerror or error}); give another folder as `cache`"
        ) from error
    return target


def begins_with(file: Path, magic: bytes) -> bool:
    """Raises DataInvalid."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(magic)) == magic
    except OSError as error:
        raise DataInvalid(str(file), f"cannot be read ({error.strerror or error})") from error


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """What pyarrow says of a file's content becomes DataInvalid."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise DataInvalid(str(file), f"is damaged, cut short, or neither Arrow nor Parquet ({error})") from error


def _convert(file: Path, target: Path) -> None:
    with reading(file):
        schema, batches = _batches(file)
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)


def _batches(file: Path) -> tuple[Any, Iterator[Any]]:
    if begins_with(file, PARQUET):
        parquet = pq.ParquetFile(file)
        return parquet.schema_arrow, parquet.iter_batches(ROWS)
    source = pa.memory_map(str(file))
    try:
        opened = pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return stream.schema, iter(stream)
    return opened.schema, (opened.get_batch(number) for number in range(opened.num_record_batches))
