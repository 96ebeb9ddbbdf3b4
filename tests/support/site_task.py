"""Tasks for sites: digits of which a folder says how many are its own, and one that cannot be told of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.data import Dataset, Subset

from tests.support.digits_task import Digits
from trainers import Split


class OwnDigits(Digits):
    """The first so many training samples of all; `folder` holds a file called "samples" with the number."""

    folder = Path("/nowhere")

    def data(self, split: Split) -> Dataset[Any]:
        whole = super().data(split)
        return Subset(whole, range(int((self.folder / "samples").read_text()))) if split is Split.TRAIN else whole


class NoFolder(Digits):
    """Always all of them."""
