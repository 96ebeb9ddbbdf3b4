"""Columns as what can be gathered: where each row's bytes lie in the mapped files, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from trainers.data.arrow.layout import Layout
from trainers.data.arrow.pictures import picture, stacked

Array: TypeAlias = np.ndarray[Any, Any]


class Column(Protocol):
    def take(self, chunk: Array, row: Array) -> Any:
        """A Tensor [B, …] or a list of B values. chunk, row: int64 [B], a row's record batch and its number in that."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """`width` >= 1 bytes a row, gathered at once whatever the number of record batches.

    windows: for each file, item i is the `width` bytes from byte i on. file, base: int64 [chunks], where row 0 lies.
    """

    windows: tuple[Array, ...]
    file: Array
    base: Array
    width: int

    @classmethod
    def of(cls, contents: Sequence[Array], file: Array, base: Array, width: int) -> Bytes:
        windows = tuple(
            np.ndarray((max(0, content.size - width + 1),), f"V{width}", content, strides=(1,)) for content in contents
        )
        return cls(windows, file, base, width)

    def take(self, chunk: Array, row: Array) -> Array:
        """uint8 [B · width], new."""
        at = self.base[chunk] + row * self.width
        if len(self.windows) == 1:
            gathered: Array = self.windows[0][at]
            return gathered.view(np.uint8)
        gathered = np.empty(len(at), f"V{self.width}")
        files = self.file[chunk]
        for number in np.unique(files):
            of_file = files == number
            gathered[of_file] = self.windows[number][at[of_file]]
        return gathered.view(np.uint8)


@dataclass(frozen=True, slots=True)
class Values:
    """Numbers, as many in each row: a Tensor [B, *shape]."""

    bytes: Bytes
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def take(self, chunk: Array, row: Array) -> Tensor:
        return torch.from_numpy(self.bytes.take(chunk, row).view(self.dtype).reshape(len(row), *self.shape))


@dataclass(frozen=True, slots=True)
class Bits:
    """Booleans, eight to a byte: a bool Tensor [B, *shape]. first: int64 [chunks], the bit at which row 0 begins."""

    bytes: Bytes
    first: Array
    shape: tuple[int, ...]

    def take(self, chunk: Array, row: Array) -> Tensor:
        count = prod(self.shape)
        bits = (self.first[chunk] + row * count)[:, None] + np.arange(count)
        octets = self.bytes.take(np.repeat(chunk, count), bits.ravel() >> 3)
        flags = (octets >> (bits.ravel() & 7)) & 1
        return torch.from_numpy(flags.astype(bool).reshape(len(row), *self.shape))


@dataclass(frozen=True, slots=True)
class Pieces:
    """As many bytes as a row has: B values, each made by `value` from its bytes, uint8 [size], and put `together`.

    ends: where a row's piece begins and the next row's does, in units of `unit` bytes from `base`, int64 [chunks].
    """

    ends: tuple[Bytes, Bytes]
    offset_type: np.dtype[Any]
    contents: tuple[Array, ...]
    file: Array
    base: Array
    unit: int
    value: Callable[[Array], Any]
    together: Callable[[list[Any]], Any] = list

    def take(self, chunk: Array, row: Array) -> Any:
        first, last = (ends.take(chunk, row).view(self.offset_type) for ends in self.ends)
        pieces = zip(
            self.file[chunk].tolist(),
            (self.base[chunk] + first * self.unit).tolist(),
            (self.base[chunk] + last * self.unit).tolist(),
            strict=True,
        )
        return self.together([self.value(self.contents[file][begin:end]) for file, begin, end in pieces])


def column_of(layout: Layout, contents: tuple[Array, ...], file: Array) -> Column:
    """contents: the mapped files. file: int64 [chunks], in which of them each record batch lies."""
    if layout.offsets is None:
        assert layout.dtype is not None
        if layout.dtype == np.bool_:
            return Bits(Bytes.of(contents, file, layout.values >> 3, 1), layout.values & 7, layout.shape)
        width = layout.dtype.itemsize * prod(layout.shape)
        return Values(Bytes.of(contents, file, layout.values, width), layout.dtype, layout.shape)
    size = layout.offset_type.itemsize
    ends = Bytes.of(contents, file, layout.offsets, size), Bytes.of(contents, file, layout.offsets + size, size)
    unit = layout.dtype.itemsize * prod(layout.shape) if layout.dtype is not None else 1
    together = stacked if layout.kind == "image" else list
    return Pieces(ends, layout.offset_type, contents, file, layout.values, unit, _maker(layout), together)


def _maker(layout: Layout) -> Callable[[Array], Any]:
    match layout.kind:
        case "text":
            return lambda content: content.tobytes().decode()
        case "binary":
            return lambda content: content.tobytes()
        case "image":
            return lambda content: picture(content.tobytes())
        case _:
            dtype, shape = layout.dtype, layout.shape
            assert dtype is not None
            return lambda content: torch.from_numpy(content.copy().view(dtype).reshape(-1, *shape))
