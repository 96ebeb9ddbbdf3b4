"""Schedules by torch's names: torch's own learning rates, and sentences for what cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, optim
from torch.optim import lr_scheduler

from tests.unit.trainers.tasks import ADAMW, SGD, Training
from trainers.averaging import moved_towards, uniform_mean
from trainers.errors import ScheduleInvalid
from trainers.flat import PARAMETERS, Layout
from trainers.schedules import SCHEDULES, Schedule
from trainers.stepper import Stepper
from trainers.tensors import Tensors

Make = Callable[[optim.Optimizer], lr_scheduler.LRScheduler]
WARM = {"name": "LinearLR", "start_factor": 0.1, "total_iters": 5}
COSINE = {"name": "CosineAnnealingLR", "T_max": 20}

CASES: Mapping[str, tuple[Mapping[str, Any], Make]] = {
    "step": ({"name": "StepLR", "step_size": 3}, lambda o: lr_scheduler.StepLR(o, 3)),
    "cosine": (COSINE, lambda o: lr_scheduler.CosineAnnealingLR(o, 20)),
    "one cycle": (
        {"name": "onecyclelr", "max_lr": 0.5, "total_steps": 60},
        lambda o: lr_scheduler.OneCycleLR(o, 0.5, total_steps=60),
    ),
    "warm-up, then cosine": (
        {"name": "SequentialLR", "schedulers": [WARM, COSINE], "milestones": [5]},
        lambda o: lr_scheduler.SequentialLR(
            o,
            [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.CosineAnnealingLR(o, 20)],
            milestones=[5],
        ),
    ),
    "chained": (
        {"name": "ChainedScheduler", "schedulers": [WARM, {"name": "ExponentialLR", "gamma": 0.9}]},
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.ExponentialLR(o, 0.9)]
        ),
    ),
}


def torchs(make: Make, steps: int) -> list[tuple[float, float]]:
    live = optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.05, momentum=0.9)
    schedule, seen = make(live), []
    for _ in range(steps):
        seen.append((live.param_groups[0]["lr"], live.param_groups[0]["momentum"]))
        live.step()
        schedule.step()
    return seen


@pytest.mark.parametrize("case", CASES)
def test_it_is_torchs_own_bit_for_bit_whatever_was_asked_before(case: str) -> None:
    settings, make = CASES[case]
    expected = torchs(make, 50)
    schedule = Schedule(settings, SGD)
    for number in (0, 7, 7, 49, 3, 20):
        options = schedule.at(number)
        assert (options["lr"], options["momentum"]) == expected[number]


def test_the_aggregate_steps_at_the_scheduled_rate_times_the_factor() -> None:
    plain, scheduled = Training("mlp", optimizer={"name": "sgd", "lr": 0.005}), Training("mlp", optimizer=SGD)
    gradient, _ = plain.gradient(0, 0)
    inputs = {"weights": plain.weights, "optimizer": {}, "gradient.1": gradient}
    params: dict[str, Any] = {"gradients": [1], "samples": [64.0], "clip_norm": None, "keep_mean": False}
    expected, _ = plain.run("aggregate", inputs, {**params, "optimizer": plain.optimizer})
    params |= {"scheduled": {"schedule": {"name": "StepLR", "step_size": 2, "gamma": 0.2}, "count": 2}}
    outputs, metrics = scheduled.run("aggregate", inputs, {**params, "optimizer": SGD, "lr_factor": 0.5})
    assert metrics["learning_rate"] == pytest.approx(0.005)
    torch.testing.assert_close(outputs["weights"], expected["weights"])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "CosineLR"}, "no such schedule; did you mean|no such schedule"),
        ({"name": "StepLR", "step": 3}, "has no option 'step'; did you mean 'step_size'"),
        ({"name": "StepLR"}, "does not take these options: .*step_size"),
        ({"name": "LambdaLR"}, "cannot be used: it is given a Python function"),
        ({"name": "ReduceLROnPlateau"}, "cannot be used: it looks at a metric"),
        ({"name": "SequentialLR", "schedulers": [{"name": "Nope"}], "milestones": []}, "'Nope': .*no such schedule"),
    ],
)
def test_what_cannot_be_is_said(settings: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ScheduleInvalid, match=sentence):
        Schedule(settings, SGD)


def test_a_schedule_that_has_an_end_says_so_when_it_is_over() -> None:
    schedule = Schedule({"name": "OneCycleLR", "max_lr": 0.5, "total_steps": 10}, SGD)
    with pytest.raises(ScheduleInvalid, match="OneCycleLR"):
        schedule.at(11)


def test_every_schedule_of_torch_is_known() -> None:
    assert {"steplr", "cosineannealingwarmrestarts", "polynomiallr", "sequentiallr"} <= SCHEDULES.keys()


@given(decay=st.floats(0.01, 0.99), values=st.lists(st.floats(-10, 10), min_size=2, max_size=6))
def test_the_exponential_average_is_the_sum_with_falling_weights(decay: float, values: list[float]) -> None:
    average: Tensors = {PARAMETERS: torch.tensor([values[0]], dtype=torch.float64)}
    for value in values[1:]:
        average = moved_towards({PARAMETERS: torch.tensor([value], dtype=torch.float64)}, average, decay)
    shares = [decay ** (len(values) - 1)] + [(1 - decay) * decay**age for age in reversed(range(len(values) - 1))]
    expected = sum(share * value for share, value in zip(shares, values, strict=True))
    assert average[PARAMETERS].item() == pytest.approx(expected, abs=1e-9)


def test_averages_take_counts_from_the_newest() -> None:
    old = {"buffer.n": torch.tensor(3), PARAMETERS: torch.tensor([1.0])}
    new = {"buffer.n": torch.tensor(8), PARAMETERS: torch.tensor([3.0])}
    assert uniform_mean([old, new]) == {"buffer.n": torch.tensor(8), PARAMETERS: torch.tensor([2.0])}
    assert moved_towards(new, old, 0.5) == {"buffer.n": torch.tensor(8), PARAMETERS: torch.tensor([2.0])}


def test_what_adam_does_to_a_steady_gradient_is_its_effective_learning_rate() -> None:
    """On a loss that is linear the weights move by it times the gradient, step after step."""
    torch.manual_seed(0)
    module = nn.Linear(4, 1, bias=False)
    layout = Layout.of(module)
    gradient = torch.full((4,), 0.3)
    for settings, expected in ((ADAMW, 0.002 / 0.3), (SGD, 0.05 / 0.1)):
        options = {**settings, "eps": 1e-8, "betas": (0.9, 0.999)}
        memory = {"state.0.exp_avg_sq": gradient.square() * (1 - 0.999**5), "state.0.step": torch.tensor(5.0)}
        stepper = Stepper(layout, settings)
        measured = stepper.effective_learning_rate(gradient, memory if settings is ADAMW else {}, options)
        assert measured == pytest.approx(expected, rel=1e-5)
