"""What a merge method is: one function of the versions of one tensor, whose signature is the schema of its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import msgspec
from torch import Tensor

from trainers.errors import did_you_mean
from trainers.merging.errors import MethodNeeds, OptionInvalid

Function: TypeAlias = Callable[..., Tensor]
"""f(base, sources, *, options): floating-point tensors of one shape and of float32 or float64, none of them modified.

base: None for a method without one. Returns a tensor of that shape, of the inputs' dtype or wider. Equal inputs give
equal bits. Where all versions are alike it is not called: they come through bit for bit.
"""

EXPECTED = re.compile(r"Expected `(\w+)`?( [<>]=? [-+.\w]+)?")
"""How msgspec says what a value is not."""

WORDS: Mapping[str, str] = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "text"}

Options: TypeAlias = Mapping[str, Any]

Strength: TypeAlias = Annotated[float, msgspec.Meta(ge=-100, le=100)]
"""α: how far to go along a merged task vector."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. annotation: its type, with its range as msgspec.Meta. default: None never stands for one."""

    annotation: Any
    default: Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to make one model of several, and what it may be told.

    source: where it is published. needs_base: it works on task vectors θᵢ - θ₀, not on weights.
    fewest, most: how many sources it takes; most: None for any number. schema: its options.
    """

    name: str
    source: str
    needs_base: bool
    fewest: int
    most: int | None
    schema: Mapping[str, Option]

    def options(self, given: Mapping[str, object]) -> Options:
        """All options, checked, with the defaults of those that are not given.

        Raises:
            OptionInvalid: one that it does not have, or a value of the wrong type or outside its range.
        """
        for name in given:
            if name not in self.schema:
                raise OptionInvalid(self.name, name, f"there is no such option{did_you_mean(name, self.schema)}")
        return {
            name: self._checked(name, option, given[name]) if name in given else option.default
            for name, option in self.schema.items()
        }

    def require_sources(self, sources: int, *, with_base: bool) -> None:
        """Raises MethodNeeds unless it can merge that many."""
        if self.needs_base and not with_base:
            raise MethodNeeds(self.name, sources, "a base, the model that the sources were fine-tuned from (base: …)")
        if sources < self.fewest or (self.most is not None and sources > self.most):
            count = f"exactly {self.fewest}" if self.fewest == self.most else f"at least {self.fewest}"
            raise MethodNeeds(self.name, sources, f"{count} source{'' if self.fewest == 1 else 's'}")

    def _checked(self, name: str, option: Option, given: object) -> object:
        try:
            value: object = msgspec.convert(given, option.annotation)
        except msgspec.ValidationError as error:
            raise OptionInvalid(self.name, name, f"{given!r} is not {_wanted(option.annotation, error)}") from error
        if isinstance(value, float) and not isfinite(value):
            raise OptionInvalid(self.name, name, f"{given!r} is not a finite number")
        return value


def _wanted(annotation: Any, error: msgspec.ValidationError) -> str:
    """What a value should have been, in words: "a number <= 1"."""
    if words := get_args(annotation) if get_origin(annotation) is Literal else ():
        return f"one of {', '.join(map(str, words))}"
    found = EXPECTED.match(str(error))
    kind, limit = found.groups() if found else ("", "")
    return f"{WORDS.get(kind, kind)}{limit or ''}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class MergeMethod(Recipe):
    """A recipe that makes each tensor by itself.

    scratch: float32 tensors of the size of the merged one that it needs at most beside its inputs, the result included.
    """

    function: Function
    scratch: int

    def __call__(self, base: Tensor | None, sources: Sequence[Tensor], options: Options) -> Tensor:
        """options: as `options` returns them."""
        return self.function(base if self.needs_base else None, sources, **options)


def schema_of(function: Callable[..., object]) -> Mapping[str, Option]:
    """A function's keyword-only parameters, which all have defaults, as options."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    named = (parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
    return {parameter.name: Option(parameter.annotation, parameter.default) for parameter in named}


def merge_method(
    name: str,
    *,
    source: str,
    needs_base: bool = False,
    fewest: int = 1,
    most: int | None = None,
    scratch: int = 4,
) -> Callable[[Function], MergeMethod]:
    """Makes a `Function` a method; its keyword-only parameters, all with defaults, are its options."""

    def register(function: Function) -> MergeMethod:
        return MergeMethod(name, source, needs_base, fewest, most, schema_of(function), function, scratch)

    return register
