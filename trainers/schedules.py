"""Any learning-rate schedule of torch.optim.lr_scheduler as a function of how often it was stepped."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from trainers.errors import ScheduleInvalid, did_you_mean
from trainers.optimizers import make_optimizer

REFUSED: Mapping[str, str] = {
    "lambdalr": "it is given a Python function, which a spec cannot hold",
    "multiplicativelr": "it is given a Python function, which a spec cannot hold",
    "reducelronplateau": "it looks at a metric, and schedules here go by time alone",
}
"""Why some of them cannot work."""

SCHEDULES: Mapping[str, type[LRScheduler]] = {
    name.lower(): value
    for name, value in vars(lr_scheduler).items()
    if isinstance(value, type)
    and issubclass(value, LRScheduler)
    and value is not LRScheduler
    and not name.startswith("_")
    and name.lower() not in REFUSED
}
"""By lower-case name."""

OF_SCHEDULES = "schedulers"
"""The option of SequentialLR and ChainedScheduler that holds schedules, each {"name": …, its options}."""


class Scheduled(msgspec.Struct, frozen=True):
    """A schedule by its name and options, and how often >= 0 it was stepped; see `Schedule.at`."""

    schedule: dict[str, Any]
    count: int


class Schedule:
    """One schedule over one optimizer's options, without the optimizer: it steps a stand-in of two numbers.

    settings: {"name": …, options of the class}. optimizer: the settings of the optimizer it is for.
    Exact: torch's own scheduler, stepped as often, bit for bit.
    Raises:
        ScheduleInvalid: unknown or refused name, unknown option, or a value that the class does not take.
        OptimizerInvalid.
    """

    def __init__(self, settings: Mapping[str, Any], optimizer: Mapping[str, Any]) -> None:
        self._settings, self._of = settings, optimizer
        self._begin()

    def at(self, count: int) -> Mapping[str, Any]:
        """What the optimizer's options are after `count` >= 0 steps: lr, and momentum or betas if it moves them too.

        Raises:
            ScheduleInvalid: it has an end, and that lies before.
        Cost: 10 µs a step since the last count that was asked; one that is lower begins anew.
        """
        if count < self._count:
            self._begin()
        while self._count < count:
            try:
                self._optimizer.step()
                self._schedule.step()
            except ValueError as error:  # OneCycleLR, beyond its end
                raise ScheduleInvalid(self._settings["name"], str(error)) from error
            self._count += 1
        group = self._optimizer.param_groups[0]
        return {name: group[name] for name in ("lr", "momentum", "betas") if name in group}

    def _begin(self) -> None:
        self._optimizer = make_optimizer(self._of, [nn.Parameter(torch.zeros(2, 2))])
        self._schedule = _made(self._settings, self._optimizer)
        self._count = 0


def check_schedule(settings: Mapping[str, Any], optimizer: Mapping[str, Any]) -> None:
    """Whether this schedule can be made for this optimizer. Raises as `Schedule` does. Cost: 0.3 ms."""
    Schedule(settings, optimizer)


def _made(settings: Mapping[str, Any], optimizer: optim.Optimizer) -> LRScheduler:
    given = settings.get("name")
    name = str(given).lower()
    if name in REFUSED:
        raise ScheduleInvalid(str(given), f"cannot be used: {REFUSED[name]}. Allowed: {', '.join(sorted(SCHEDULES))}")
    if name not in SCHEDULES:
        raise ScheduleInvalid(
            str(given), f"torch.optim.lr_scheduler has no such schedule{did_you_mean(name, SCHEDULES)}"
        )
    chosen: Any = SCHEDULES[name]
    options = {key: value for key, value in settings.items() if key != "name"}
    allowed = inspect.signature(chosen).parameters.keys() - {"optimizer", "last_epoch", "scale_fn"}
    for option in options:
        if option not in allowed:
            raise ScheduleInvalid(str(given), f"has no option {option!r}{did_you_mean(option, allowed)}")
    try:
        if OF_SCHEDULES in allowed:
            parts = [_made(part, optimizer) for part in options.pop(OF_SCHEDULES, ())]
            whole: LRScheduler = (
                chosen(parts, **options) if name == "chainedscheduler" else chosen(optimizer, parts, **options)
            )
        else:
            whole = chosen(optimizer, **options)
    except (TypeError, ValueError, AttributeError, ZeroDivisionError, KeyError, IndexError) as error:
        raise ScheduleInvalid(str(given), f"does not take these options: {error}") from error
    return whole
