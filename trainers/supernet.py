"""Weights that many architectures of one task share: each uses the leading part of every tensor that it has too.

The value that travels, "shared": a tensor for each parameter name that any architecture has, in the largest shape. So
sliced linear and convolution layers, depth that is skipped and blocks to choose from follow from ordinary modules: an
architecture that lacks a parameter does not touch it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from trainers.errors import SharingImpossible
from trainers.flat import PARAMETERS, FlatModel, Layout
from trainers.tensors import Tensors

Region: TypeAlias = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """What sharing needs to know of an architecture.

    kernels: names of convolutions' weights, whose dimensions from the third on are cropped about their centre.
    """

    layout: Layout
    kernels: frozenset[str]

    @classmethod
    def of(cls, model: FlatModel) -> Outline:
        return cls(model.layout, frozenset(_kernels(model.module)))

    def regions(self, shapes: Mapping[str, Sequence[int]]) -> dict[str, Region]:
        """Where each parameter lies in a shared tensor of the given shape.

        Dimensions are taken from 0 on, those of a convolution's kernel from the middle.
        Raises:
            SharingImpossible: a parameter that is not shared, of another rank, or too large; or a kernel without a
                common centre, one size being even and the other odd.
        """
        regions = {}
        for piece in self.layout.pieces:
            whole = shapes.get(piece.name)
            if whole is None:
                raise SharingImpossible(piece.name, piece.shape, (), "no architecture that was counted has it")
            centred_from = 2 if piece.name in self.kernels else len(whole)
            regions[piece.name] = _region(piece.name, piece.shape, whole, centred_from)
        return regions


def shared_shapes(outlines: Sequence[Outline]) -> dict[str, tuple[int, ...]]:
    """For each parameter name of one or more architectures the largest size in each dimension.

    Raises:
        SharingImpossible: two of them have a parameter of one name with different numbers of dimensions, or kernels
            without a common centre.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for outline in outlines:
        for piece in outline.layout.pieces:
            known = shapes.get(piece.name, piece.shape)
            if len(known) != len(piece.shape):
                raise SharingImpossible(piece.name, piece.shape, known, "they differ in their number of dimensions")
            shapes[piece.name] = tuple(max(sizes) for sizes in zip(known, piece.shape, strict=True))
    for outline in outlines:
        outline.regions(shapes)
    return shapes


def first_shared(shapes: Mapping[str, tuple[int, ...]], models: Iterable[FlatModel]) -> Tensors:
    """Shared weights as the models were initialised, the last model's own all there, and below them those before.

    Bring them in order of size: so narrow architectures begin with the scale of the widest, smaller than their own.
    """
    shared: dict[str, Tensor] = {}
    for model in models:
        outline = Outline.of(model)
        views = outline.layout.views(model.weights()[PARAMETERS])
        for (name, region), view in zip(outline.regions(shapes).items(), views, strict=True):
            if name not in shared:
                shared[name] = torch.zeros(shapes[name], dtype=view.dtype)
            shared[name][region] = view
    return shared


def cut(shared: Tensors, outline: Outline) -> Tensor:
    """The architecture's own parameters, flat [P]: a copy, so that training it leaves the shared ones alone.

    Raises:
        SharingImpossible: see `Outline.regions`.
    Exact: the largest architecture gets the shared weights themselves.
    """
    regions = outline.regions(_shapes(shared))
    return torch.cat([shared[name][region].reshape(-1) for name, region in regions.items()])


def scatter(shared: Tensors, parts: Sequence[tuple[Outline, Tensor]]) -> Tensors:
    """New shared tensors: where architectures have a number it is the mean of theirs, elsewhere it stays as it is.

    parts: architectures with new parameters, flat [P], in order of work id; or with gradients, and zeros for `shared`.
    Exact: each number is the sum in float64, in that order, divided by how many architectures have it, so that a
        number of one architecture alone comes through bit for bit, and what none has is untouched.
    """
    shapes = _shapes(shared)
    sums = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    users = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    for outline, flat in parts:
        for (name, region), view in zip(outline.regions(shapes).items(), outline.layout.views(flat), strict=True):
            sums[name][region] += view
            users[name][region] += 1
    return {
        name: torch.where(users[name] > 0, (sums[name] / users[name]).to(tensor.dtype), tensor)
        for name, tensor in shared.items()
    }


def _kernels(module: nn.Module) -> list[str]:
    return [
        f"{prefix}.weight" if prefix else "weight"
        for prefix, child in module.named_modules()
        if isinstance(child, _ConvNd)
    ]


def _region(name: str, shape: Sequence[int], whole: Sequence[int], centred_from: int) -> Region:
    if len(shape) != len(whole):
        raise SharingImpossible(name, shape, whole, "they differ in their number of dimensions")
    region = []
    for dimension, (size, available) in enumerate(zip(shape, whole, strict=True)):
        spare = available - size
        if spare < 0:
            raise SharingImpossible(name, shape, whole, "it is larger than what is shared")
        if dimension >= centred_from and spare % 2:
            raise SharingImpossible(name, shape, whole, "kernels of even and odd size have no common centre")
        start = spare // 2 if dimension >= centred_from else 0
        region.append(slice(start, start + size))
    return tuple(region)


def _shapes(shared: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in shared.items()}
