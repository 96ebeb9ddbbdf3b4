"""How good a trial is, in one direction: what searchers compare, and never anything else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import isfinite
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["max", "min"]

WORST = -sys.float_info.max
"""The score of a trial that diverged or failed: below every other, and finite, so that it survives JSON."""


def score(value: float, mode: Mode) -> float:
    """A metric's value so that higher is better; NaN and infinities are WORST, whatever the mode."""
    if not isfinite(value):
        return WORST
    return value if mode == "max" else -value


def ranked(scores: Mapping[int, float]) -> list[int]:
    """Trials, the best first; of equals the one that began first, so that a replay agrees."""
    return sorted(scores, key=lambda trial: (-scores[trial], trial))
