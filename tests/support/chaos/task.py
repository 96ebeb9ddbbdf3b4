"""The digits, slow as long as it is wanted, and with workers that can be made to compute nonsense."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tests.support.digits_task import Digits

MEMBER = "RIPIENO_TEST_MEMBER"
"""Environment variable: the worker's name."""

SWITCHES = "RIPIENO_TEST_SWITCHES"
"""Environment variable: a folder. While it holds `slow`, each batch takes a worker so many seconds longer; while
it holds `nan-NAME`, that worker's loss is none. Without it, as in a replay, nothing is wrong."""

ALL = "all"


class Troubled(Digits):
    """Digits that are slow and wrong where files say so."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        loss = super().loss(model, batch)
        folder, name = os.environ.get(SWITCHES), os.environ.get(MEMBER, "")
        if folder is None or not model.training:
            return loss
        switches = Path(folder)
        if name:  # not an engine that makes again what it lost
            with suppress(FileNotFoundError):
                time.sleep(float((switches / "slow").read_text() or 0))
        broken = (switches / f"nan-{name}").exists() or (switches / f"nan-{ALL}").exists()
        return loss * float("nan") if broken else loss
