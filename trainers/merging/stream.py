"""Merging tensor by tensor, from sources that are never in memory whole into a sink that keeps none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from trainers.merging.apply import How, merge_tensor
from trainers.merging.plan import Plan
from trainers.merging.sources import Header


class Sink(Protocol):
    """Where merged tensors go."""

    def order(self, result: Mapping[str, Header]) -> list[str]:
        """Told first what will come; says in which order it wants it."""

    def put(self, name: str, tensor: Tensor) -> None:
        """The next tensor; the sink's from now on."""


class Kept:
    """A sink in memory. tensors: all that came."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def order(self, result: Mapping[str, Header]) -> list[str]:
        return list(result)

    def put(self, name: str, tensor: Tensor) -> None:
        self.tensors[name] = tensor


def merge(plan: Plan, sink: Sink) -> Mapping[str, How]:
    """Merges and hands over one tensor after another; returns how each came about.

    Memory: `plan.peak_bytes`, and what the sink keeps.
    """
    return {name: _merge_one(plan, name, sink) for name in sink.order(plan.result)}


def _merge_one(plan: Plan, name: str, sink: Sink) -> How:
    base = None if plan.base is None else plan.base.tensor(name)
    merged, how = merge_tensor(plan.method, plan.options, name, base, [source.tensor(name) for source in plan.sources])
    sink.put(name, merged)
    return how
