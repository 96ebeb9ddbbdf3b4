"""How far a run is to go: what a live view measures its progress by."""

from __future__ import annotations

from typing import NamedTuple


class Goal(NamedTuple):
    """metric: of the rows, the one that counts. total: what it is at the end, > 0. unit: of it, such as "epochs"."""

    metric: str
    total: float
    unit: str
