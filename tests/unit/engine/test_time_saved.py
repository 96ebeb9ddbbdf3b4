"""The comparison with waiting for all, from timings that real clusters leave behind."""

from __future__ import annotations

import pytest

from orchestrator.time_saved import Timings, time_saved
from tests.support.recorded import SAMPLES, spec_of

STEPS = 10


@pytest.mark.parametrize("names", [["worker-0", "worker-2", "worker-11"], ["lyon", "oslo", "rome"]])
def test_each_timed_worker_takes_its_own_time_whatever_it_is_called(names: list[str]) -> None:
    fast, middle, slow = names
    timings = Timings(
        gradients_s={fast: [1.0], middle: [2.0], slow: [8.0]},
        waited_for=[2] * STEPS,
        init=SAMPLES,
        others_s={"aggregate": [0.0]},
    )
    saved = time_saved(spec_of(workers=4, min_workers=4), timings)
    assert saved is not None
    assert saved.full_s == pytest.approx(8.0 * STEPS)
    assert saved.actual_s == pytest.approx(2.0 * STEPS)


def test_where_late_gradients_are_interrupted_nobody_knows_how_long_all_would_have_taken() -> None:
    timings = Timings(
        gradients_s={"worker-0": [1.0], "worker-1": [8.0]},
        waited_for=[1] * STEPS,
        init=SAMPLES,
        others_s={"aggregate": [0.0]},
    )
    assert time_saved(spec_of(workers=2), timings) is not None
    assert time_saved(spec_of(workers=2, late="interrupt", micro_batch_size=1), timings) is None
