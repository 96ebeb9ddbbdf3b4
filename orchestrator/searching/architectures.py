"""All architectures of a space, whatever else is searched beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from orchestrator.records import Json
from orchestrator.searching.basis import Category, config_of
from orchestrator.searching.training import Training

MODEL = "model."
MOST_SHARED = 1000  # architectures that may share weights


def architectures(categories: Sequence[Category], training: Training, limit: int) -> list[dict[str, Json]]:
    """Arguments of the task's model() for each architecture of a basis, each once; `limit` + 1 if there are more."""
    matter = _matter(categories)
    found: dict[str, dict[str, Json]] = {}
    for picks in _picks(categories, matter, ()):
        config = config_of(categories, picks)
        arguments = training.of({name: value for name, value in config.items() if name.startswith(MODEL)})["model"]
        assert isinstance(arguments, dict)
        found.setdefault(json.dumps(arguments, sort_keys=True), arguments)
        if len(found) > limit:
            break
    return list(found.values())


def searches_training(categories: Sequence[Category]) -> bool:
    """Whether anything but the architecture is to be chosen among several values."""
    return any(not category.name.startswith(MODEL) and len(category.options) > 1 for category in categories)


def _matter(categories: Sequence[Category]) -> set[int]:
    """Numbers of the decisions that an architecture may hang on."""
    matter = {number for number, category in enumerate(categories) if category.name.startswith(MODEL)}
    for number in sorted(matter, reverse=True):
        parent = categories[number].parent
        while parent is not None:
            matter.add(parent)
            parent = categories[parent].parent
    return matter


def _picks(categories: Sequence[Category], matter: set[int], taken: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every way to pick what matters, with option 0 for all else."""
    number = len(taken)
    if number == len(categories):
        yield taken
        return
    category = categories[number]
    made = category.parent is None or taken[category.parent] == category.under
    options = range(len(category.options)) if made and number in matter else (0 if made else -1,)
    for option in options:
        yield from _picks(categories, matter, (*taken, option))
