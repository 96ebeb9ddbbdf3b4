"""What counts as a step."""

from __future__ import annotations

from math import inf, nan

import pytest

from orchestrator.quorum.signals import Step, read_step

SIGNALS = {"loss": 2.0, "sum_norm2": 9.0, "norm2": 1.5, "k": 4.0, "learning_rate": 0.1, "momentum": 0.9}


def test_momentum_multiplies_the_learning_rate() -> None:
    step = read_step(SIGNALS)
    assert step is not None
    assert step == Step(loss=2.0, k=4, sum_norm2=9.0, norm2=1.5, learning_rate=step.learning_rate)
    assert step.learning_rate_at(2) == pytest.approx(1.0)


@pytest.mark.parametrize(("exponent", "rate"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.25)])
def test_the_learning_rate_follows_k_by_a_power(exponent: float, rate: float) -> None:
    step = read_step(SIGNALS | {"learning_rate_exponent": exponent})
    assert step is not None
    assert step.learning_rate_at(4) == pytest.approx(1.0)
    assert step.learning_rate_at(1) == pytest.approx(rate)


@pytest.mark.parametrize("name", ["loss", "sum_norm2", "norm2", "k", "learning_rate"])
def test_without_any_needed_signal_there_is_no_step(name: str) -> None:
    assert read_step({key: value for key, value in SIGNALS.items() if key != name}) is None


@pytest.mark.parametrize("odd", [nan, inf, -inf, 1e200])
@pytest.mark.parametrize("name", SIGNALS)
def test_a_step_with_numbers_that_are_none_is_skipped(name: str, odd: float) -> None:
    assert read_step(SIGNALS | {name: odd}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("k", 0.0), ("sum_norm2", -1.0), ("learning_rate", -1.0), ("momentum", 1.0), ("learning_rate_exponent", -0.5)],
)
def test_an_impossible_step_is_skipped(name: str, value: float) -> None:
    assert read_step(SIGNALS | {name: value}) is None


def test_an_odd_extra_is_left_out_alone() -> None:
    step = read_step(SIGNALS | {"change_norm2": nan, "step_norm2": 3.0})
    assert step is not None
    assert (step.change_norm2, step.step_norm2, step.dot) == (None, 3.0, None)
