"""What a column's Arrow type means for training, and where in the mapped files its values lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.types as of

from trainers.errors import DataInvalid

Array: TypeAlias = np.ndarray[Any, Any]

OFFSET, LARGE_OFFSET = np.dtype(np.int32), np.dtype(np.int64)
ALLOWED = (
    "booleans, integers, floats, fixed_shape_tensor, lists of these, string, binary, "
    "and images as a struct of bytes and path"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """kind: "numbers" of dtype, `shape` a row; "list" of them, [n, *shape] with another n in each row; or encoded.

    values: int64 [chunks], where a record batch's first value begins in its file, in bytes (bits for booleans).
    offsets: for what differs in length, where the batch's offsets begin, in bytes, of type offset_type.
    """

    kind: Literal["numbers", "list", "text", "binary", "image"]
    dtype: np.dtype[Any] | None
    shape: tuple[int, ...]
    values: Array
    offsets: Array | None = None
    offset_type: np.dtype[Any] = OFFSET


def layout_of(name: str, chunks: Sequence[Any], addresses: Sequence[int], where: str) -> Layout:
    """chunks: a column's arrays, of equal type and none empty. addresses: of the first byte of each one's file.

    Raises:
        DataInvalid: the type is none of ALLOWED, or values are null.
    Cost: reads the offsets of lists, to see whether all rows are equally long; nothing of other types.
    """
    kind = chunks[0].type
    _require_no_nulls(name, chunks, where)
    if of.is_struct(kind) and {kind.field(number).name for number in range(kind.num_fields)} == {"bytes", "path"}:
        chunks = [chunk.field("bytes") for chunk in chunks]
        if any(chunk.null_count for chunk in chunks):
            raise DataInvalid(where, f"column {name!r} holds paths of images where their bytes are due: embed them")
        return _pieces("image", chunks, addresses)
    if of.is_string(kind) or of.is_large_string(kind):
        return _pieces("text", chunks, addresses)
    if of.is_binary(kind) or of.is_large_binary(kind):
        return _pieces("binary", chunks, addresses)
    dimensions, values = _flattened(name, [_storage(chunk) for chunk in chunks], where)
    dtype = _dtype(name, kind, values[0].type, where)
    if isinstance(kind, pa.FixedShapeTensorType):
        if kind.permutation not in (None, list(range(len(kind.shape)))):
            raise DataInvalid(where, f"column {name!r} is {kind}: store its tensors without a permutation")
        dimensions = list(kind.shape)
    ragged = bool(dimensions) and not dimensions[0] and not of.is_fixed_size_list(kind)
    sizes = dimensions[1:] if ragged else dimensions
    shape = tuple(size for size in sizes if size)
    if len(shape) < len(sizes) or (ragged and dtype == np.bool_):
        raise DataInvalid(
            where, f"column {name!r} is {kind}, with inner lists that differ in length or are empty: pad or flatten it"
        )
    at = _places([_first(array, dtype) for array in values], addresses, bits=dtype == np.bool_)
    if not ragged:
        return Layout("numbers", dtype, shape, at)
    lists = [_storage(chunk) for chunk in chunks]
    whole = [array.values for array in lists]  # offsets count from the first value of all, not of the slice
    for _ in shape:
        whole = [array.flatten() for array in whole]
    at = _places([_first(array, dtype) for array in whole], addresses)
    return Layout("list", dtype, shape, at, *_offsets(lists, addresses))


def _require_no_nulls(name: str, chunks: Sequence[Any], where: str) -> None:
    nulls = sum(chunk.null_count for chunk in chunks)
    if nulls:
        raise DataInvalid(where, f"column {name!r} has {nulls:,} nulls, which no tensor holds: fill or drop those rows")


def _storage(array: Any) -> Any:
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array


def _flattened(name: str, chunks: list[Any], where: str) -> tuple[list[int | None], list[Any]]:
    """The size of each level of lists, None where it differs, and the innermost values of each chunk."""
    dimensions: list[int | None] = []
    while of.is_fixed_size_list(chunks[0].type) or of.is_list(chunks[0].type) or of.is_large_list(chunks[0].type):
        dimensions.append(_length(chunks))
        chunks = [chunk.flatten() for chunk in chunks]
        _require_no_nulls(name, chunks, where)
    return dimensions, chunks


def _length(chunks: Sequence[Any]) -> int | None:
    """Of every list in these arrays, None if they differ."""
    if of.is_fixed_size_list(chunks[0].type):
        return int(chunks[0].type.list_size)
    sizes = {int(size) for chunk in chunks for size in np.unique(np.diff(chunk.offsets.to_numpy()))[:2]}
    return sizes.pop() if len(sizes) == 1 else None


def _dtype(name: str, kind: Any, values: Any, where: str) -> np.dtype[Any]:
    if not (of.is_integer(values) or of.is_floating(values) or of.is_boolean(values)):
        raise DataInvalid(where, f"column {name!r} is {kind}, which becomes no tensor. Allowed: {ALLOWED}")
    dtype: np.dtype[Any] = np.dtype(values.to_pandas_dtype())
    return dtype


def _pieces(kind: Literal["text", "binary", "image"], chunks: Sequence[Any], addresses: Sequence[int]) -> Layout:
    contents = [chunk.buffers()[2] for chunk in chunks]  # None where all are empty
    at = _places([0 if content is None else content.address for content in contents], addresses)
    return Layout(kind, None, (), at, *_offsets(chunks, addresses))


def _offsets(chunks: Sequence[Any], addresses: Sequence[int]) -> tuple[Array, np.dtype[Any]]:
    kind = chunks[0].type
    large = of.is_large_list(kind) or of.is_large_string(kind) or of.is_large_binary(kind)
    offset_type: np.dtype[Any] = LARGE_OFFSET if large else OFFSET
    return _places([_first(chunk, offset_type) for chunk in chunks], addresses), offset_type


def _first(array: Any, dtype: np.dtype[Any]) -> int:
    """Address of the array's first value, or first offset; in bits for booleans."""
    address, first = int(array.buffers()[1].address), int(array.offset)
    return 8 * address + first if dtype == np.bool_ else address + first * dtype.itemsize


def _places(buffers: Sequence[int], addresses: Sequence[int], *, bits: bool = False) -> Array:
    scale = 8 if bits else 1
    return np.array([buffer - scale * file for buffer, file in zip(buffers, addresses, strict=True)], np.int64)
