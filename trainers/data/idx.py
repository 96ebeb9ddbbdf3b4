"""Reads gzipped IDX files, the format of MNIST and its like, and trusts nothing that they say."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from trainers.errors import DataInvalid

_UNSIGNED_BYTE = 0x08
_PIECE_BYTES = 1 << 20


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The file's array, uint8 with `dimensions` >= 1 dimensions, each >= 1.

    Layout: 0, 0, type 0x08, number of dimensions; the dimensions as big-endian uint32; the bytes, the last dimension
    running fastest.
    Raises:
        DataInvalid: no such file, no gzip, cut short or longer than it says, another type or number of dimensions.
    Cost: 0.25 s for 60,000 images of 28x28.
    Source: yann.lecun.com/exdb/mnist, "the IDX file format".
    """
    try:
        with gzip.open(path) as file:
            magic = file.read(4)
            if magic != bytes([0, 0, _UNSIGNED_BYTE, dimensions]):
                expected = f"0000 08{dimensions:02x}"
                raise DataInvalid(
                    str(path), f"begins with {magic.hex(' ', 2)} where {expected} is due: no such IDX file"
                )
            header = file.read(4 * dimensions)
            shape = struct.unpack(f">{dimensions}I", header) if len(header) == 4 * dimensions else (0,)
            size = prod(shape)
            data = bytearray()
            while len(data) <= size and (piece := file.read(_PIECE_BYTES)):  # never room for what is only announced
                data += piece
    except FileNotFoundError:
        raise DataInvalid(str(path), "there is no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataInvalid(str(path), f"is damaged or cut short ({error}); fetch it again") from error
    except OSError as error:
        raise DataInvalid(str(path), f"cannot be read ({error.strerror or error})") from error
    if size == 0 or len(data) != size:
        found = "more" if len(data) > size else f"{len(data):,}"
        raise DataInvalid(
            str(path), f"announces {size:,} bytes of shape {list(shape)} and holds {found}; fetch it again"
        )
    return torch.frombuffer(data, dtype=torch.uint8).view(shape)
