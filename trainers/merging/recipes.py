"""Everything that a merge may be told to do: the methods, and what more than one tensor, or data, goes into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta

from trainers.merging.errors import MethodUnknown
from trainers.merging.method import Recipe, schema_of
from trainers.merging.methods import METHODS


@dataclass(frozen=True, slots=True)
class AtlasOptions:
    """How aTLAS learns."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float


def atlas_options(
    *,
    steps: Annotated[int, Meta(ge=1)] = 200,
    batch_size: Annotated[int, Meta(ge=1)] = 128,
    lr: Annotated[float, Meta(gt=0, le=10)] = 0.01,
    weight_decay: Annotated[float, Meta(ge=0, le=100)] = 0.1,
) -> AtlasOptions:
    """steps: of AdamW, each on `batch_size` training samples. The authors' lr of 0.001 is for epochs of steps."""
    return AtlasOptions(steps, batch_size, lr, weight_decay)


GREEDY_SOUP = Recipe("greedy_soup", "arXiv:2203.05482", needs_base=False, fewest=2, most=None, schema={})
"""The best source on validation data, then the mean with each next best that makes it strictly better."""

ENSEMBLE = Recipe("ensemble", "Breiman 1996, Stacked regressions", needs_base=False, fewest=2, most=None, schema={})
"""The exact best weighted mean of predictions on validation data; a model as large as all sources together."""

ATLAS = Recipe("atlas", "arXiv:2407.02880", needs_base=True, fewest=1, most=None, schema=schema_of(atlas_options))
"""A coefficient for each task vector and tensor, learnt on training data."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {**METHODS, **{recipe.name: recipe for recipe in (GREEDY_SOUP, ENSEMBLE, ATLAS)}}
)


def recipe_of(name: str) -> Recipe:
    """Raises MethodUnknown."""
    if name not in RECIPES:
        raise MethodUnknown(name, tuple(RECIPES))
    return RECIPES[name]
