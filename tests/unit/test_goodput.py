"""The arithmetic of the benchmark `goodput`: what was lost is neither useful nor part of the loss that is watched."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.goodput.history import SMOOTHED, History, Kept, schedule

EVERY_S = st.sampled_from([15.0, 30.0, 60.0])


def steps(first: int, last: int, at_s: float, loss: float) -> list[Kept]:
    return [Kept(at_s + (step - first) / 10, 2 * step, loss) for step in range(first, last + 1)]


@given(EVERY_S, st.integers(0, 8), st.integers(0, 100))
def test_each_interval_has_one_kill_in_its_middle_half_and_equal_seeds_equal_kills(
    every_s: float, intervals: int, seed: int
) -> None:
    kills = schedule(every_s, every_s * intervals, seed)
    assert len(kills) == intervals
    assert all(0.25 <= kill.at_s / every_s - number <= 0.75 for number, kill in enumerate(kills))
    assert kills == schedule(every_s, every_s * intervals, seed)


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_a_step_that_was_lost_and_done_again_is_useful_once(before: int, after: int, data: st.DataObject) -> None:
    checkpoint = data.draw(st.integers(0, before))
    again = steps(checkpoint + 1, checkpoint + after, 40.0, 1.0)
    kept = [*steps(1, before, 0.0, 1.0), Kept(39.0, 2 * checkpoint, None), *again]
    history = History(kept, 2 * (before + after), 100.0, killed=1)
    assert history.useful_per_s == 2 * (checkpoint + after) / 100
    assert history.work_goodput == (checkpoint + after) / (before + after)
    assert history.time_goodput(history.useful_per_s) == 1.0


def test_steps_that_were_lost_do_not_help_to_the_target() -> None:
    low = steps(51, 100, 5.0, 0.0)
    kept = [*steps(1, 50, 0.0, 2.0), *low, Kept(10.0, 100, None)]
    assert History(kept, 200, 60.0, 1).reached_s(1.0) == low[-1].at_s
    early = [*steps(1, SMOOTHED - 1, 0.0, 0.0), Kept(20.0, 0, None), *steps(1, SMOOTHED - 1, 30.0, 0.0)]
    assert math.isnan(History(early, 2 * len(early), 60.0, 1).reached_s(1.0))
