"""Two hundred seeded runs of chaos on the virtual pool; more by hand: python -m tests.chaos FIRST LAST."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.faults import Fault
from tests.support.virtual_chaos import schedule_of, survive

SCHEDULES = 200


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_a_run_comes_to_what_it_would_have_been_whatever_strikes_it(seed: int) -> None:
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        survive(schedule_of(seed), Path(folder))


def test_every_fault_is_drawn_often() -> None:
    struck = Counter(fault for seed in range(SCHEDULES) for fault in schedule_of(seed).struck)
    assert struck.keys() == set(Fault)
    assert min(struck.values()) >= 5, struck
