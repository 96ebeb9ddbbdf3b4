"""What a simulation is asked to assume, as it is typed: how long workers take, how often they fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

from orchestrator.errors import BadInput
from orchestrator.pools.latency import Constant, LogNormal, Model, Pareto, ShiftedExponential, Uniform
from orchestrator.words import did_you_mean


class CannotSimulate(BadInput):
    """What was asked for has no simulation. reason: a sentence that says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Assumptions:
    """All but the spec.

    latency: "pareto:1.5" and the like, see `latency_of`; "" where a trace says it. trace: folder of a finished run.
    step_seconds: mean seconds of one gradient; None: measured here. aggregate_seconds: of a step along their mean;
    None: measured here, or 0 where step_seconds is given. slow: "100:5", so many workers are so many times slower.
    crash_every_hours: mean time between failures of one worker, 0: none; it is back after restart_seconds.
    price: of a worker's hour, in any currency, 0: unknown. target: the training loss to reach; None: where `full` ends.
    compute: real gradients on the virtual clock, not the modelled curve.
    """

    latency: str = ""
    trace: Path | None = None
    step_seconds: float | None = None
    aggregate_seconds: float | None = None
    slow: str = ""
    crash_every_hours: float = 0.0
    restart_seconds: float = 60.0
    price: float = 0.0
    target: float | None = None
    compute: bool = False

    def __post_init__(self) -> None:
        """Raises CannotSimulate where one of them cannot be."""
        if bool(self.latency) == (self.trace is not None):
            raise CannotSimulate(
                "say how long workers take, by --latency or by --trace, and not by both: "
                "--latency pareto:1.5 for a shape, --trace RUN for the timings of a finished run."
            )
        if self.latency:
            latency_of(self.latency, 1.0)
        slow_of(self.slow)
        if self.trace is not None and (self.step_seconds is not None or self.slow):
            raise CannotSimulate("--trace brings its own times; --step-seconds and --slow go with --latency.")
        for option, value in (("--step-seconds", self.step_seconds), ("--target", self.target)):
            if value is not None and not 0 < value < inf:
                raise CannotSimulate(f"{option} is {value:g}, but must be above 0.")
        counts = {
            "--aggregate-seconds": self.aggregate_seconds or 0.0,
            "--crash-every": self.crash_every_hours,
            "--restart": self.restart_seconds,
            "--price": self.price,
        }
        for option, value in counts.items():
            if not 0 <= value < inf:
                raise CannotSimulate(f"{option} is {value:g}, but cannot be below 0.")


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of latency: its parameters' names, what they may be, and how it is made of the mean and them."""

    parameters: tuple[str, ...]
    allowed: str
    fits: Callable[..., bool]
    make: Callable[..., Model]


SHAPES: Mapping[str, Shape] = {
    "constant": Shape((), "", lambda: True, lambda mean_s: Constant(mean_s)),
    "exponential": Shape(
        ("SPREAD",),
        "SPREAD from 0 (constant) to 1",
        lambda spread: 0 <= spread <= 1,
        lambda mean_s, spread: ShiftedExponential(spread, mean_s),
    ),
    "pareto": Shape(
        ("SHAPE",), "SHAPE above 1", lambda shape: 1 < shape < inf, lambda mean_s, shape: Pareto(shape, mean_s)
    ),
    "uniform": Shape(
        ("LOW", "HIGH"),
        "0 < LOW <= HIGH, in means of a gradient: uniform:0.5:1.5",
        lambda low, high: 0 < low <= high < inf,
        lambda mean_s, low, high: Uniform(low * mean_s, high * mean_s),
    ),
    "lognormal": Shape(
        ("SIGMA",),
        "SIGMA from 0 to 5",
        lambda sigma: 0 <= sigma <= 5,
        lambda mean_s, sigma: LogNormal(sigma, mean_s),
    ),
}
"""By name. Those with a mean have that of a gradient."""


def latency_of(text: str, mean_s: float) -> Model:
    """ "pareto:1.5" with a mean of mean_s > 0 seconds. Raises CannotSimulate."""
    name, *given = text.split(":")
    if name not in SHAPES:
        forms = ", ".join(":".join((known, *shape.parameters)) for known, shape in SHAPES.items())
        raise CannotSimulate(f"--latency: {name!r} is no latency{did_you_mean(name, SHAPES)}. Allowed: {forms}.")
    shape = SHAPES[name]
    form = ":".join((name, *shape.parameters))
    numbers = _numbers(given)
    if numbers is None or len(numbers) != len(shape.parameters):
        raise CannotSimulate(f"--latency: {text!r} is not of the form {form}{shape.allowed and ', ' + shape.allowed}.")
    if not shape.fits(*numbers):
        raise CannotSimulate(f"--latency: {text!r} cannot be: {form} needs {shape.allowed}.")
    return shape.make(mean_s, *numbers)


def slow_of(text: str) -> tuple[int, float]:
    """ "100:5": how many workers are slower, and how many times; "" is nobody. Raises CannotSimulate."""
    if not text:
        return 0, 1.0
    numbers = _numbers(text.split(":"))
    if numbers is None or len(numbers) != 2 or numbers[0] != int(numbers[0]) or numbers[0] < 1 or numbers[1] <= 0:
        raise CannotSimulate(f"--slow: {text!r} is not of the form N:FACTOR, as in 100:5: 100 workers 5 times slower.")
    return int(numbers[0]), numbers[1]


def _numbers(given: list[str]) -> list[float] | None:
    try:
        numbers = [float(number) for number in given]
    except ValueError:
        return None
    return numbers if all(abs(number) < inf for number in numbers) else None
