"""Layers for one module that holds many architectures: sliced, skipped or chosen anew at each call.

A task that makes a new model for each architecture needs none of them: see `supernet`.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.functional import conv2d, linear


class SlicedLinear(nn.Linear):
    """A linear layer whose leading inputs and outputs can stand alone: y = W[:o, :i]·x + b[:o]."""

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """x: [..., i], 1 <= i <= in_features. outputs: o, from 1 to out_features; None: all.

        Exact: all inputs and outputs give the plain layer's result. What is not used gets gradient zero.
        """
        bias = None if self.bias is None else self.bias[:outputs]
        return linear(x, self.weight[:outputs, : x.shape[-1]], bias)


class SlicedConv2d(nn.Conv2d):
    """A convolution whose leading channels, and the middle of its kernel, can stand alone.

    Ordinary channels (groups 1) and zeros around; padding is that of the whole kernel, and shrinks with it.
    """

    def forward(self, x: Tensor, channels: int | None = None, kernel: int | None = None) -> Tensor:
        """x: [B, i, height, width]. channels: of the output; None: all. kernel: its side, as odd or even; None: all.

        Exact: all channels and the whole kernel give the plain layer's result. What is not used gets gradient zero.
        """
        side = self.kernel_size[0]
        cropped = 0 if kernel is None else (side - kernel) // 2
        middle = slice(cropped, side - cropped)
        weight = self.weight[:channels, : x.shape[1], middle, middle]
        bias = None if self.bias is None else self.bias[:channels]
        assert not isinstance(self.padding, str), "padding as a number"
        padding = [size - cropped for size in self.padding]
        return conv2d(x, weight, bias, self.stride, padding, self.dilation)


class Skippable(nn.Module):
    """x + f(x), or x itself; f keeps the shape. Give the last norm of f a gain of 0, and it begins as x."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, on: bool = True) -> Tensor:
        """off: x itself, bit for bit, and no parameter of f is used."""
        if not on:
            return x
        added: Tensor = self.block(x)
        return x + added


class Choice(nn.Module):
    """One of several blocks."""

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, chosen: int) -> Tensor:
        """Only the chosen one is computed."""
        result: Tensor = self.blocks[chosen](x)
        return result
