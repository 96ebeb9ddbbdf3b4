"""scikit-learn's digits, which are on every machine: 8x8 images of handwritten digits."""

from __future__ import annotations

import torch

from trainers.data.images import Images
from trainers.task import Split

VALIDATION, TEST = 200, 297  # of 1,797
MEAN, DEVIATION = 4.88, 6.02  # of the pixels, 0 to 16


def digits(split: Split) -> Images:
    """1,300 images to train on, 200 for validation, 297 to test; in each the ten classes have nearly equal shares.

    Cost: 0.1 s. Source: Alpaydin and Kaynak 1998, UCI Machine Learning Repository, the test part.
    """
    from sklearn.datasets import load_digits  # as long an import as torch's: a worker that starts needs none of it
    from sklearn.model_selection import train_test_split

    data = load_digits()
    rest, test = train_test_split(range(len(data.target)), test_size=TEST, random_state=0, stratify=data.target)
    train, validation = train_test_split(rest, test_size=VALIDATION, random_state=0, stratify=data.target[rest])
    indices = {Split.TRAIN: train, Split.VALIDATION: validation, Split.TEST: test}[split]
    pixels = torch.from_numpy(data.images[indices]).to(torch.uint8)
    return Images(pixels, torch.from_numpy(data.target[indices]).long(), MEAN, DEVIATION)
