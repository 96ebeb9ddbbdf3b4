"""The CNN of examples/fashion_mnist on data in Parquet files, one a split, as `write` makes them.

python -m examples.arrow.task     writes runs/fashion-mnist/{train,validation,test}.parquet
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor
from torch.utils.data import Dataset

from examples.fashion_mnist import task
from trainers import Split
from trainers.data import ArrowData

FOLDER = Path(__file__).resolve().parents[2] / "runs" / "fashion-mnist"
MEAN, DEVIATION = 72.88, 90.00  # of the training pixels


class FashionMnist(task.FashionMnist):
    """Workers of one host share the pages of the files; each batch is gathered from them and then normalised."""

    def data(self, split: Split) -> Dataset[Any]:
        return ArrowData(FOLDER / f"{split}.parquet", columns=("image", "label"), transform=normalised)


def normalised(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """From bytes [B, 28, 28] to floats [B, 1, 28, 28] with about mean 0 and deviation 1."""
    return images.unsqueeze(1).float().sub_(MEAN).div_(DEVIATION), labels


def write() -> None:
    """Two columns: image, lists of 28 lists of 28 bytes, and label."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for split in Split:
        images = task.FashionMnist().data(split)
        _, height, width = images.pixels.shape
        rows = pa.FixedSizeListArray.from_arrays(pa.array(images.pixels.numpy().ravel()), width)
        pixels = pa.FixedSizeListArray.from_arrays(rows, height)
        pq.write_table(pa.table({"image": pixels, "label": images.labels.numpy()}), FOLDER / f"{split}.parquet")


if __name__ == "__main__":
    write()
