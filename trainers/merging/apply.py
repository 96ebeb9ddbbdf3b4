"""How one tensor of a merge comes about: copied, averaged, or merged by the method."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor

from trainers.mean import weighted_mean
from trainers.merging.method import MergeMethod, Options

STATISTICS = ("running_mean", "running_var")
"""Last parts of the names of tensors that describe data, as torch's normalisations call them: no weights to step along.

A variance stepped along a task vector could become negative; so the method does not see them.
"""


class How(StrEnum):
    COPIED = "copied"  # of integers or booleans, from the base, else from the first source
    ALIKE = "alike"  # the same in all, bit for bit, and so in the merge
    AVERAGED = "averaged"  # statistics of data: the mean of the sources
    MERGED = "merged"  # by the method


def merge_tensor(
    method: MergeMethod, options: Options, name: str, base: Tensor | None, sources: Sequence[Tensor]
) -> tuple[Tensor, How]:
    """One tensor of the merged model, of the dtype that its versions share.

    Args:
        base, sources: of one shape and dtype, on the CPU, not modified; one or more sources.
    Exact: computed in float32 at least, rounded to the dtype once at the end.
    """
    first, *rest = [base, *sources] if base is not None else list(sources)
    if not first.is_floating_point():
        return first.clone(), How.COPIED
    if all(_alike(first, other) for other in rest):
        return first.clone(), How.ALIKE
    if name.rpartition(".")[2] in STATISTICS:
        return weighted_mean(sources, [1.0] * len(sources)), How.AVERAGED
    working = torch.promote_types(first.dtype, torch.float32)
    merged = method(base if base is None else base.to(working), [source.to(working) for source in sources], options)
    return merged.to(first.dtype), How.MERGED


def _alike(one: Tensor, other: Tensor) -> bool:
    """Bit for bit, but that 0.0 and -0.0 count as one where a tensor is not all alike."""
    return torch.equal(one, other)
