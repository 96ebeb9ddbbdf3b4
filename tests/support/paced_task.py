"""The digits, slowed down or held from outside, so that something can happen to a run of theirs while it goes on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tests.support.digits_task import Digits

PACE = "RIPIENO_TEST_PACE"
"""Environment variable: names a file. While it is there each batch takes PACE_S longer; while it says HOLD, no end."""

PACE_S = 0.1
HOLD = "hold"


class Paced(Digits):
    """Digits that take their time while there is a file."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        file = Path(os.environ.get(PACE, "/nowhere"))
        if file.exists():
            time.sleep(PACE_S)
        while file.exists() and file.read_text() == HOLD:
            time.sleep(0.01)
        return super().loss(model, batch)
