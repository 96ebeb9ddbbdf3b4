"""A space as categorical decisions only: a few spaced values stand for each range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.records import Json
from orchestrator.searching.space import Choice, Config, Domain, Parameter, Space


@dataclass(frozen=True, slots=True)
class Category:
    """One decision among `options`, at least one.

    parent, under: it exists only if decision number `parent` takes its option number `under`; None: always.
    """

    name: str
    options: tuple[Json, ...]
    parent: int | None = None
    under: int = 0


def basis(space: Space, n: int) -> tuple[Category, ...]:
    """The decisions of a space, parents before those that hang on them.

    n >= 1: values of a range, evenly spaced from end to end, in the logarithm where the range is one; for n = 1 the
    middle. An integer range has no value twice, so it may have fewer.
    """
    categories: list[Category] = []
    _add(space.parameters, None, 0, n, categories)
    return tuple(categories)


def active(categories: Sequence[Category], picks: Sequence[int]) -> tuple[bool, ...]:
    """Which decisions exist when decision d takes option picks[d]; picks of those that do not are not looked at."""
    exist: list[bool] = []
    for category in categories:
        parent = category.parent
        exist.append(parent is None or (exist[parent] and picks[parent] == category.under))
    return tuple(exist)


def config_of(categories: Sequence[Category], picks: Sequence[int]) -> Config:
    """The configuration of those picks, without what does not exist under them."""
    exist = active(categories, picks)
    return {
        category.name: category.options[pick]
        for category, pick, exists in zip(categories, picks, exist, strict=True)
        if exists
    }


def covering(categories: Sequence[Category]) -> Iterator[tuple[int, Config]]:
    """Each decision with each of its options once, and a configuration that has it: the first options elsewhere."""
    for number, category in enumerate(categories):
        for option in range(len(category.options)):
            picks = [0] * len(categories)
            picks[number], below = option, category
            while below.parent is not None:
                picks[below.parent] = below.under
                below = categories[below.parent]
            yield number, config_of(categories, picks)


def _add(parameters: Sequence[Parameter], parent: int | None, under: int, n: int, categories: list[Category]) -> None:
    for parameter in parameters:
        number = len(categories)
        categories.append(Category(parameter.name, tuple(_options(parameter.domain, n)), parent, under))
        if isinstance(parameter.domain, Choice):
            for option, further in enumerate(parameter.domain.options):
                _add(further.then, number, option, n, categories)


def _options(domain: Domain, n: int) -> Iterator[Json]:
    if isinstance(domain, Choice):
        yield from (option.value for option in domain.options)
        return
    places = (number / (n - 1) for number in range(n)) if n > 1 else (0.5,)
    yield from dict.fromkeys(domain.at(place) for place in places)
