"""Small data sets in Fashion-MNIST's format, made of scikit-learn's digits: nothing to download."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

VALIDATION = 5_000  # as many of the training images are set aside


def write_idx(folder: Path, *, train: int, test: int, first: int = 0) -> Path:
    """Four files of 28x28 images: `train` to train on, 5,000 for validation, `test` to test; beginning with digit
    number `first`. Returns the folder."""
    folder.mkdir(parents=True)
    digits = load_digits()
    for prefix, count in (("train", train + VALIDATION), ("t10k", test)):
        chosen = (first + np.arange(count)) % len(digits.target)
        large = digits.images[chosen].repeat(3, axis=1).repeat(3, axis=2) * 15  # [count, 24, 24], 0 to 240
        pixels = np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
        _write(folder / f"{prefix}-images-idx3-ubyte.gz", pixels)
        _write(folder / f"{prefix}-labels-idx1-ubyte.gz", digits.target[chosen].astype(np.uint8))
    return folder


def _write(file: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    with gzip.open(file, "wb", compresslevel=1) as out:
        out.write(header + array.tobytes())
