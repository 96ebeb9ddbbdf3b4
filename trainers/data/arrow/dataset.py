"""Columns of Arrow or Parquet files as a map-style data set whose batches are gathered from mapped memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trainers.data.arrow.columns import Column, Values, column_of
from trainers.data.arrow.files import files_of
from trainers.data.arrow.layout import layout_of
from trainers.data.arrow.mapped import Mapped, mapped
from trainers.data.arrow.pictures import require_pillow
from trainers.errors import DataInvalid, LabelsMissing, did_you_mean

CACHE = Path("~/.cache/ripieno/arrow")


class ArrowData(Dataset[Any]):
    """Samples are tuples of the columns' values, in the order of `columns`: ("image", "label") makes (inputs, target).

    Files are mapped, not loaded: they may be larger than memory, and all processes of a host share the pages that
    were read. Do not write to a file while it is in use; replace it by renaming. Parquet, and Arrow with compressed
    buffers (Feather by default), cannot be mapped: each such file is written once a host as uncompressed Arrow into
    `cache`, which needs the room, and that is mapped; workers that start together wait for the first.

    In a batch of B rows a column is

    | Arrow type | becomes |
    |---|---|
    | integers, floats, booleans | a Tensor [B] of the same type |
    | lists of these, equally long in all rows (also Array2D … of Hugging Face), fixed_shape_tensor | Tensor [B, …] |
    | lists that differ in length | a list of B Tensors [n, …], which the transform has to pad |
    | string, binary | a list of str, of bytes |
    | {bytes, path}: Image of Hugging Face, decoded by Pillow | uint8 [B, channels, height, width], or a list of them |

    Args:
        path: a file, a glob, or a folder: a plain one, or one that Hugging Face's `save_to_disk` wrote.
        columns: names; without them all columns of the files.
        transform: called with the columns of a batch, returns the batch: `lambda x, y: (x / 255, y)`. Without it the
            batch is the tuple of columns. Random ones must draw from torch's, NumPy's or Python's global generators.
        cache: folder for conversions, on a disk of this host.
    Raises:
        DataInvalid: a file is missing or damaged, files differ in a column's type, a column is missing, has nulls or a
            type that becomes no tensor; lists differ in length and there is no transform.
    Cost: opening 30 µs a record batch. 64 rows of 784 bytes and their labels: 10 µs if the pages are in memory.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str] = (),
        transform: Callable[..., Any] | None = None,
        cache: str | Path = CACHE,
    ) -> None:
        self._arguments = (path, columns, transform, cache)
        folder = Path(cache).expanduser()
        files = [mapped(file, folder) for file in files_of(path)]
        self.columns = tuple(columns) or tuple(files[0].schema.names)
        self.transform = transform
        _require_columns(files, self.columns)
        batches = [(number, batch) for number, file in enumerate(files) for batch in file.batches if batch.num_rows]
        if not batches:
            raise DataInvalid(str(path), "holds no rows")
        ends = np.cumsum([batch.num_rows for _, batch in batches])
        self._rows, self._starts = int(ends[-1]), np.concatenate([[0], ends[:-1]])
        contents, of_file = tuple(file.content for file in files), np.array([number for number, _ in batches])
        self._columns: list[Column] = []
        for name in self.columns:
            chunks = [batch.column(name) for _, batch in batches]
            layout = layout_of(name, chunks, [files[number].address for number, _ in batches], str(path))
            if layout.kind == "list" and transform is None:
                raise DataInvalid(
                    str(path), f"column {name!r} has rows of different length: give a transform that pads"
                )
            if layout.kind == "image":
                require_pillow(name)
            self._columns.append(column_of(layout, contents, of_file))

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: int) -> Any:
        return _first(self.batch_of(torch.tensor([index + self._rows if index < 0 else index])))

    def batch_of(self, indices: Tensor) -> Any:
        """The rows at `indices`, int64 [B], in that order. Raises IndexError."""
        rows = indices.numpy()
        if len(rows) and not 0 <= rows.min() <= rows.max() < self._rows:
            raise IndexError(f"row {rows.min()} or {rows.max()} of {self._rows:,}")
        chunk = self._starts.searchsorted(rows, "right") - 1
        row = rows - self._starts[chunk]
        batch = tuple(column.take(chunk, row) for column in self._columns)
        return batch if self.transform is None else self.transform(*batch)

    @property
    def labels(self) -> Tensor:
        """The last column as it is stored, [samples]. Raises LabelsMissing if it holds no numbers."""
        last = self._columns[-1]
        if not isinstance(last, Values):
            raise LabelsMissing(f"its last column {self.columns[-1]!r} holds no numbers")
        chunk = np.repeat(np.arange(len(self._starts)), np.diff([*self._starts, self._rows]))
        return last.take(chunk, np.arange(self._rows) - self._starts[chunk])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments  # another process maps the files itself


def _require_columns(files: Sequence[Mapped], names: Sequence[str]) -> None:
    first = files[0]
    for file in files:
        for name in names:
            if name not in file.schema.names:
                hint = did_you_mean(name, file.schema.names)
                raise DataInvalid(str(file.file), f"has no column {name!r}{hint}")
            here, there = file.schema.field(name).type, first.schema.field(name).type
            if here != there:
                raise DataInvalid(str(file.file), f"column {name!r} is {here}, and {there} in {first.file.name}")


def _first(batch: Any) -> Any:
    """The one sample of a batch."""
    if isinstance(batch, dict):
        return {name: _first(value) for name, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_first(value) for value in batch)
    return batch[0]
