"""What is looked at before a merge: the same tensors everywhere, all numbers finite, parents of one start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from statistics import median

import torch
from torch import Tensor

from trainers.merging.errors import MergeError, SourceNonFinite, SourcesDiffer, SourcesUnrelated
from trainers.merging.sources import Header, Source

RELATED = 0.1
"""Least median cosine of the matrices of two parents of one start."""

FEWEST = 64
"""Numbers of the smallest matrix that is compared: of fewer numbers a cosine is noise."""

CHUNK = 1 << 16  # numbers


def differences(sources: Sequence[Source]) -> list[MergeError]:
    """One SourcesDiffer for each source that has other tensors, shapes or dtypes than the first; reads only headers."""
    first, *rest = sources
    expected = first.headers
    found: list[MergeError] = []
    for source in rest:
        clauses = tuple(_clauses(first.name, expected, source.headers))
        if clauses:
            found.append(SourcesDiffer(source.name, first.name, clauses))
    return found


def unusable(sources: Sequence[Source], *, allow_unrelated: bool) -> list[MergeError]:
    """All that is wrong with the numbers of sources without `differences`: one error a tensor that is not finite, and
    one a source that is not related to the first; unless allow_unrelated.

    Related: the median over the tensors of two axes or more, of FEWEST numbers or more, of their cosine, each less its
    mean, is RELATED at least. That needs no data. Two networks trained from different starts have cosines near 0, for
    nothing tells one which of the units of a layer is the other's; those from one start keep their units' order. The
    median, because the first layer's inputs and the last one's outputs are the same for all. Measured on Fashion-MNIST
    and digits, with Adam and SGD: see docs/pages/merge.md. Models without such tensors are taken as related.
    Cost: reads every tensor once; memory: one tensor of each source.
    """
    found: list[MergeError] = []
    alike = [Likeness() for _ in sources[1:]]
    for name, header in sources[0].headers.items():
        if not header.dtype.is_floating_point:
            continue
        tensors = [source.tensor(name) for source in sources]
        for source, tensor in zip(sources, tensors, strict=True):
            count = tensor.numel() - int(tensor.isfinite().sum())
            if count:
                found.append(SourceNonFinite(source.name, name, count, tensor.numel()))
        if len(header.shape) >= 2 and prod(header.shape) >= FEWEST:
            for likeness, tensor in zip(alike, tensors[1:], strict=True):
                likeness.add(name, tensors[0], tensor)
    if found or allow_unrelated:
        return found
    for source, likeness in zip(sources[1:], alike, strict=True):
        if likeness.cosine < RELATED:
            found.append(SourcesUnrelated(source.name, sources[0].name, likeness.least, likeness.cosine, RELATED))
    return found


@dataclass(slots=True)
class Likeness:
    """How alike two models' matrices are. cosines: by tensor, of those that are not constant."""

    cosines: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, one: Tensor, other: Tensor) -> None:
        product, left, right = _centred_products(one.reshape(-1), other.reshape(-1))
        if left > 0 and right > 0:
            self.cosines[name] = product / sqrt(left * right)

    @property
    def cosine(self) -> float:
        """The median; 1 where nothing can be compared."""
        return median(self.cosines.values()) if self.cosines else 1.0

    @property
    def least(self) -> str:
        """The name of the least alike tensor."""
        return min(self.cosines, key=lambda name: self.cosines[name], default="")


def _clauses(peer: str, expected: Mapping[str, Header], given: Mapping[str, Header]) -> Iterator[str]:
    for name in sorted(expected.keys() - given.keys()):
        yield f"tensor {name!r} is only in {peer!r}"
    for name in sorted(given.keys() - expected.keys()):
        yield f"tensor {name!r} is not in {peer!r}"
    for name in sorted(expected.keys() & given.keys()):
        theirs, ours = given[name], expected[name]
        if theirs.shape != ours.shape:
            yield f"tensor {name!r} is {list(theirs.shape)}, there {list(ours.shape)}"
        elif theirs.dtype != ours.dtype:
            yield f"tensor {name!r} is {theirs.dtype}, there {ours.dtype}"


def _centred_products(one: Tensor, other: Tensor) -> tuple[float, float, float]:
    """⟨a, b⟩, ‖a‖², ‖b‖² of two flat tensors less their means, in float64."""
    sums = torch.zeros(5, dtype=torch.float64)  # a, b, a·b, a·a, b·b
    for start in range(0, len(one), CHUNK):
        left, right = one[start : start + CHUNK].double(), other[start : start + CHUNK].double()
        sums += torch.stack([left.sum(), right.sum(), left.dot(right), left.dot(left), right.dot(right)])
    size = max(1, len(one))
    a, b, ab, aa, bb = (float(value) for value in sums)
    return ab - a * b / size, max(0.0, aa - a * a / size), max(0.0, bb - b * b / size)
