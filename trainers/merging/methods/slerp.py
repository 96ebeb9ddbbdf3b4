"""SLERP: from one model to another along the arc, so that the norm is not lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, sin
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from trainers.merging.deltas import gram
from trainers.merging.method import merge_method

PARALLEL = 0.9995
"""Above this |cosine| the arc is a line, and its formula would divide by nearly nothing."""

TINY = 1e-8
"""A tensor of a smaller norm has no direction."""


@merge_method("slerp", source="doi:10.1145/325334.325242", fewest=2, most=2)
def slerp(base: Tensor | None, sources: Sequence[Tensor], *, t: Annotated[float, Meta(ge=0, le=1)] = 0.5) -> Tensor:
    """θ = (sin((1 - t)·o)·a + sin(t·o)·b) / sin o, with o the angle between the tensors a and b.

    t: 0 is the first source, 1 the second.
    Holds: t = 0 and t = 1 give the ends bit for bit; slerp(t, a, b) = slerp(1 - t, b, a); inputs of norm 1 give
        norm 1; parallel inputs, antipodal ones and tensors of zeros are interpolated linearly.
    Source: Shoemake 1985, doi:10.1145/325334.325242; per tensor and with this threshold as in mergekit.
    """
    first, second = sources
    products = gram(torch.zeros_like(first), sources)
    norms = products.diagonal().sqrt()
    near, far = 1.0 - t, t
    if float(norms.min()) > TINY:
        cosine = float(products[0, 1] / (norms[0] * norms[1]))
        if abs(cosine) <= PARALLEL:
            angle = acos(cosine)
            near, far = sin((1 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)
    if far == 0:
        return first.clone()
    return second.clone() if near == 0 else first.double().mul_(near).add_(second, alpha=far)
