"""What a kind of work is: a function of values, parameters and the process's context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from trainers.context import Context
from trainers.tensors import Tensors

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

Outputs: TypeAlias = tuple[Mapping[str, Tensors], Mapping[str, float]]
"""Values by name, and metrics."""

Kind: TypeAlias = Callable[[Mapping[str, Tensors], Mapping[str, Json], Context], Outputs]
"""Pure but for the context's caches: equal inputs, params, seed and work id give equal outputs, bit for bit.

Inputs are never modified; outputs are the caller's. Raises TrainersError; what the user's code raises passes through.
"""
