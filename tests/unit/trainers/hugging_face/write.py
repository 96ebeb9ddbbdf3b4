"""Wrote the folders beside it, with `pip install datasets==5.2.0 pillow`, which we do not need: python write.py"""

from pathlib import Path

import numpy as np
from datasets import Array2D, ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
from PIL import Image as Picture

FEATURES = Features(
    image=Image(),
    pixels=Array2D((3, 4), "uint8"),
    tokens=List(Value("int32")),
    pair=List(Value("float32"), length=2),
    text=Value("string"),
    label=ClassLabel(names=["a", "b", "c"]),
)
ROWS = range(12)
data = {
    "image": [Picture.fromarray(np.full((4, 5), 20 * row, np.uint8)) for row in ROWS],
    "pixels": [np.arange(12, dtype=np.uint8).reshape(3, 4) + row for row in ROWS],
    "tokens": [list(range(row % 4)) for row in ROWS],
    "pair": [[row / 2, -row] for row in ROWS],
    "text": [f"row {row}" for row in ROWS],
    "label": [row % 3 for row in ROWS],
}
here = Path(__file__).parent
whole = Dataset.from_dict(data, features=FEATURES)
whole.shuffle(seed=1).save_to_disk(here / "sharded", num_shards=3)
DatasetDict(train=whole.select(range(8)), test=whole.select(range(8, 12))).save_to_disk(here / "splits")
