"""A strategy with a world so small that thousands of its runs fit into a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from orchestrator.pools.execute import Execute
from orchestrator.protocols import Quorum, Strategy, Values
from orchestrator.records import Ref, Work

Answer = tuple[Mapping[str, Mapping[str, Tensor]], Mapping[str, float]]
Kinds = Mapping[str, Callable[[Mapping[str, Any], Any, int, int], Answer]]
"""By kind of work: (inputs, params, seed of the run, id of the work) -> outputs and metrics, a function of these."""


@dataclass(frozen=True, slots=True)
class Case:
    """Makes a new strategy and quorum each time; kinds: does their work, without a model and in no time."""

    strategy: Callable[[], Strategy]
    quorum: Callable[[], Quorum]
    kinds: Kinds


def execute(kinds: Kinds, values: Values, seed: int, did: Callable[[int], None] | None = None) -> Execute:
    """Does work of these kinds. did: is told the id of each work done."""

    def do(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        if did is not None:
            did(work.id)
        inputs = {name: values.get(ref) for name, ref in work.inputs.items()}
        outputs, metrics = kinds[work.kind](inputs, dict(work.params), seed, work.id)
        refs = {name: Ref(f"{work.id}.{name}") for name in outputs}
        for name, value in outputs.items():
            values.put(refs[name], value)
        return refs, metrics

    return do
