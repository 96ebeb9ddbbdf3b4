"""A space of configurations: what may be varied, in which range, and under which choice.

A name is a dotted path into what a trial trains with, `model.width`, `optimizer.lr`, `batch_size`: architecture and
training hyperparameters stand in one declaration. A configuration maps the names that exist in it to values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, floor, log
from random import Random
from typing import TypeAlias

from orchestrator.records import Json

Config: TypeAlias = Mapping[str, Json]
"""Name -> value, in the order of the declaration; only what exists under the choices that were made."""


@dataclass(frozen=True, slots=True)
class Float:
    """A real number, low <= value <= high; log: drawn evenly in its logarithm, low > 0."""

    low: float
    high: float
    log: bool = False

    def at(self, place: float) -> float:
        """The value at place in [0, 1]: 0 is low, 1 is high."""
        if place <= 0 or place >= 1:
            return self.low if place <= 0 else self.high
        if self.log:
            value = exp(log(self.low) + place * (log(self.high) - log(self.low)))
        else:
            value = self.low + place * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number, both ends included; log: drawn evenly in its logarithm, low >= 1."""

    low: int
    high: int
    log: bool = False

    def at(self, place: float) -> int:
        """The value at place in [0, 1]; each value owns an equal share of it, or of its logarithm."""
        if self.log:
            ends = log(self.low - 0.5), log(self.high + 0.5)
            value = round(exp(ends[0] + place * (ends[1] - ends[0])))
        else:
            value = self.low + floor(place * (self.high - self.low + 1))
        return min(max(value, self.low), self.high)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Option:
    """A value to choose; then: the parameters that exist only if it is chosen."""

    value: Json
    then: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values, at least one, all different."""

    options: tuple[Option, ...]

    @classmethod
    def of(cls, *values: Json) -> Choice:
        """A choice under which nothing further hangs."""
        return cls(tuple(Option(value) for value in values))

    def at(self, place: float) -> Json:
        """The value at place in [0, 1]; each option owns an equal share."""
        return self.options[min(floor(place * len(self.options)), len(self.options) - 1)].value

    def index(self, value: object) -> int:
        """Which option it is. Raises ValueError: none."""
        for number, option in enumerate(self.options):
            if type(option.value) is type(value) and option.value == value:  # True is not 1
                return number
        raise ValueError(f"{value!r} is no option")

    def __contains__(self, value: object) -> bool:
        return any(type(option.value) is type(value) and option.value == value for option in self.options)


Domain: TypeAlias = Float | Int | Choice


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name and its values."""

    name: str
    domain: Domain


@dataclass(frozen=True, slots=True)
class Space:
    """Parameters in the order of their declaration; `declaration.read_space` makes one of what a user wrote.

    A name may come twice under different options of one choice, for then only one of the two exists.
    """

    parameters: tuple[Parameter, ...]

    def sample(self, random: Random) -> Config:
        """Each parameter independently, evenly over its range."""
        return self.complete({}, random)

    def complete(self, config: Config, random: Random) -> Config:
        """What of config exists under its choices and is in range; all else that then exists is drawn."""
        whole: dict[str, Json] = {}
        _fill(self.parameters, config, random, whole)
        return whole

    def active(self, config: Config) -> Iterator[Parameter]:
        """The parameters that exist under the choices of a configuration of this space."""
        yield from _active(self.parameters, config)

    def __contains__(self, config: object) -> bool:
        """Whether config has exactly the parameters that exist under its choices, each with one of its values."""
        if not isinstance(config, Mapping):
            return False
        try:
            active = {parameter.name: parameter.domain for parameter in self.active(config)}
        except (KeyError, ValueError):
            return False
        return active.keys() == config.keys() and all(config[name] in domain for name, domain in active.items())


def _fill(parameters: Sequence[Parameter], given: Config, random: Random, whole: dict[str, Json]) -> None:
    for parameter in parameters:
        name, domain = parameter.name, parameter.domain
        whole[name] = given[name] if name in given and given[name] in domain else domain.at(random.random())
        if isinstance(domain, Choice):
            _fill(domain.options[domain.index(whole[name])].then, given, random, whole)


def _active(parameters: Sequence[Parameter], config: Config) -> Iterator[Parameter]:
    for parameter in parameters:
        yield parameter
        if isinstance(parameter.domain, Choice):
            chosen = parameter.domain.options[parameter.domain.index(config[parameter.name])]
            yield from _active(chosen.then, config)
