"""The 1,797 digits of 8x8 pixels as logistic regression: the setting in which the quorums' tables were measured."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.datasets import load_digits

from tests.unit.quorum.push_and_wait import Softmax


@cache
def digits(batch: int) -> Softmax:
    """Pixels in 0..1, centred, with a constant one for the bias."""
    images, labels = load_digits(return_X_y=True)
    pixels = images / 16 - images.mean(axis=0) / 16
    return Softmax(np.hstack([pixels, np.ones((len(pixels), 1))]), labels, batch)
