"""The digits of `digits_task` out of files, as bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor
from torch.utils.data import Dataset

from tests.support import digits_task
from trainers import Split
from trainers.data import ArrowData


def write_digits(folder: Path) -> None:
    """<split>.parquet with the columns image, 64 bytes a row, and label."""
    for split in Split:
        images, labels = digits_task.Digits().data(split).tensors  # type: ignore[attr-defined]
        pixels = pa.FixedSizeListArray.from_arrays(pa.array((images * 16).byte().numpy().ravel()), 64)
        pq.write_table(pa.table({"image": pixels, "label": labels.numpy()}), folder / f"{split}.parquet")


class Digits(digits_task.Digits):
    """folder: where `write_digits` wrote; the test sets it."""

    folder: Path

    def data(self, split: Split) -> Dataset[Any]:
        return ArrowData(self.folder / f"{split}.parquet", ("image", "label"), as_floats, cache=self.folder / "cache")


def as_floats(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images / 16, labels
