"""F and F*."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.quorum.loss_floor import LossHistory


def after(losses: list[float], noise_floor: float, start: LossHistory | None = None) -> LossHistory:
    return reduce(lambda history, loss: history.after(loss, noise_floor), losses, start or LossHistory())


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=300), st.floats(0, 10), st.floats(-100, 100))
def test_the_floor_keeps_between_what_is_known_and_the_loss(
    losses: list[float], noise_floor: float, least: float
) -> None:
    history = after(losses, noise_floor, LossHistory(floor=least, least=least))
    assert history.floor >= least
    assert history.floor <= max(history.mean - noise_floor / 2, least)
    assert len(history.losses) <= 60


@given(st.floats(0.1, 10), st.floats(0, 0.05))
def test_a_falling_loss_is_no_plateau(first: float, noise_floor: float) -> None:
    assert after([first * 0.99**i for i in range(300)], noise_floor).floor == 0


def test_a_plateau_puts_the_floor_one_noise_floor_below_the_loss() -> None:
    assert after([1.0] * 59, 0.25).floor == 0.0
    history = after([1.0] * 60, 0.25)
    assert history.floor == 0.75
    assert history.gap == 0.25
    assert history.since_reset == 0


def test_after_a_plateau_sixty_losses_must_come_before_the_next() -> None:
    history = after([1.0] * 60, 0.25)
    history = after([1.0] * 59, 0.125, history)
    assert history.floor == 0.75
    assert history.after(1.0, 0.125).floor == 0.875


def test_the_floor_falls_when_the_loss_falls_below_it() -> None:
    history = after([0.5] * 30, 0.25, after([1.0] * 60, 0.25))
    assert history.floor == 0.375
