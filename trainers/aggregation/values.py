"""Sums over whole values: parameters and buffers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from trainers.flat import BUFFER, PARAMETERS
from trainers.mean import weighted_mean
from trainers.tensors import Tensors


def mean_of(values: Sequence[Tensors], samples: Sequence[float]) -> dict[str, Tensor]:
    """The mean of parameters and buffers, weighted by samples; a single value comes through bit for bit."""
    return with_buffers(weighted_mean([value[PARAMETERS] for value in values], samples), values, samples)


def with_buffers(parameters: Tensor, values: Sequence[Tensors], samples: Sequence[float]) -> dict[str, Tensor]:
    """These parameters with the mean of the values' buffers.

    Floating-point buffers are averaged by samples / Σ samples, whatever factors the parameters had: a running variance
    is no weight. All others come from the first value. samples: >= 0, of any scale, not all 0.
    """
    names = [name for name in values[0] if name.startswith(BUFFER)]
    buffers = {name: _mean_of_buffer([value[name] for value in values], samples) for name in names}
    return {PARAMETERS: parameters, **buffers}


def _mean_of_buffer(tensors: Sequence[Tensor], samples: Sequence[float]) -> Tensor:
    return weighted_mean(tensors, samples) if tensors[0].is_floating_point() else tensors[0].clone()
