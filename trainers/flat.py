"""A model whose parameters lie in one flat buffer, so that a step moves one tensor and not hundreds.

The value that travels, "weights": {"parameters": flat [P], "buffer.<name>": one for each persistent buffer}. A
gradient has the same form, with the gradient in place of the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainers.errors import ModelUnsupported, WeightsMismatch
from trainers.tensors import Tensors

PARAMETERS = "parameters"
BUFFER = "buffer."


@dataclass(frozen=True, slots=True)
class Piece:
    """One parameter's place in the flat buffer; trainable: it takes part in training (requires_grad). size: numbers."""

    name: str
    shape: tuple[int, ...]
    trainable: bool
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How a model's parameters lie one after another, each contiguous, in the order of `named_parameters`.

    Tied parameters lie there once, under their first name. A frozen parameter has its place too; its gradient is zero
    and no optimizer touches it.
    buffers: names of the persistent ones. names: every name of the state_dict, tied ones too, with that in the value.
    """

    pieces: tuple[Piece, ...]
    dtype: torch.dtype
    buffers: tuple[str, ...]
    names: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Raises ModelUnsupported: no parameters, or not all of one floating-point dtype."""
        parameters = dict(module.named_parameters())
        if not parameters:
            raise ModelUnsupported("it has no parameters")
        dtype = _only_dtype(parameters)
        state = module.state_dict(keep_vars=True)
        persistent = [name for name, _ in module.named_buffers() if name in state]
        canonical = {id(parameter): name for name, parameter in parameters.items()}
        canonical.update({id(module.get_buffer(name)): BUFFER + name for name in persistent})
        return cls(
            pieces=tuple(Piece(name, tuple(p.shape), p.requires_grad, p.numel()) for name, p in parameters.items()),
            dtype=dtype,
            buffers=tuple(persistent),
            names=tuple((name, canonical[id(tensor)]) for name, tensor in state.items() if id(tensor) in canonical),
        )

    @property
    def size(self) -> int:
        """P: numbers in the flat buffer."""
        return sum(piece.size for piece in self.pieces)

    def views(self, flat: Tensor) -> Iterator[Tensor]:
        """The parameters, shaped, in order: views of a flat buffer [P]. Cost: 1 µs each."""
        parts = flat.split_with_sizes([piece.size for piece in self.pieces])
        return (part.view(piece.shape) for part, piece in zip(parts, self.pieces, strict=True))

    def named_state(self, weights: Tensors) -> dict[str, Tensor]:
        """Weights as a state_dict of the model: views of the value, which must not be written to.

        Raises:
            WeightsMismatch: they are another model's.
        """
        self.require_fits("weights", weights)
        views = self.views(weights[PARAMETERS])
        tensors = {piece.name: view for piece, view in zip(self.pieces, views, strict=True)}
        tensors.update({BUFFER + name: weights[BUFFER + name] for name in self.buffers})
        return {name: tensors[place] for name, place in self.names}

    def distinct(self, weights: Tensors) -> dict[str, Tensor]:
        """The value's parameters and buffers by name, tied ones once: views of it, which must not be written to.

        Raises:
            WeightsMismatch: they are another model's.
        """
        self.require_fits("weights", weights)
        views = self.views(weights[PARAMETERS])
        tensors = {piece.name: view for piece, view in zip(self.pieces, views, strict=True)}
        return tensors | {name: weights[BUFFER + name] for name in self.buffers}

    def flattened(self, state: Tensors) -> dict[str, Tensor]:
        """The value of a state_dict: the inverse of `named_state`, copied.

        Of tied tensors one name is enough, whichever: that is how safetensors' `save_model` writes them.
        Raises:
            WeightsMismatch: a name, a shape or a parameter's dtype is another model's.
        """
        places = dict(self.names)
        found = {places[name]: tensor for name, tensor in state.items() if name in places}
        missing = sorted(name for name, place in self.names if place not in found)
        unknown = sorted(state.keys() - places.keys())
        if missing or unknown:
            expected, given = ", ".join(missing) or "no such tensor", ", ".join(unknown) or "no such tensor"
            raise WeightsMismatch("a state_dict", expected, given)
        for piece in self.pieces:
            tensor = found[piece.name]
            if tuple(tensor.shape) != piece.shape or tensor.dtype != self.dtype:
                expected, given = f"{list(piece.shape)} of {self.dtype}", f"{list(tensor.shape)} of {tensor.dtype}"
                raise WeightsMismatch(piece.name, expected, given)
        flat = torch.cat([found[piece.name].detach().reshape(-1) for piece in self.pieces])
        return {PARAMETERS: flat, **{BUFFER + name: found[BUFFER + name].clone() for name in self.buffers}}

    def require_fits(self, what: str, value: Tensors) -> None:
        """Raises WeightsMismatch unless `value` has this layout's parameters and buffers; `what` names it."""
        expected = {PARAMETERS, *(BUFFER + name for name in self.buffers)}
        if value.keys() != expected:
            raise WeightsMismatch(what, ", ".join(sorted(expected)), ", ".join(sorted(value)) or "nothing")
        flat = value[PARAMETERS]
        if flat.shape != (self.size,) or flat.dtype != self.dtype:
            raise WeightsMismatch(
                what, f"{self.size:,} parameters of {self.dtype}", f"{flat.numel():,} parameters of {flat.dtype}"
            )


class FlatModel:
    """A module on a device, its parameters views of one buffer.

    Raises:
        ModelUnsupported: see `Layout.of`.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.module = module.to(device)
        self.layout = Layout.of(self.module)
        self._flat = torch.empty(self.layout.size, dtype=self.layout.dtype, device=device)
        self._parameters = list(self.module.parameters())
        for parameter, view in zip(self._parameters, self.layout.views(self._flat), strict=True):
            view.copy_(parameter.detach())
            parameter.data = view
        self._buffers = {BUFFER + name: self.module.get_buffer(name) for name in self.layout.buffers}
        self._modules = list(self.module.modules())

    def train(self) -> None:
        """Puts the module into training mode. Cost: 0.1 µs a layer where it is in it, 1.5 µs where it is not."""
        if not all(module.training for module in self._modules):
            self.module.train()

    def load(self, weights: Tensors) -> None:
        """Takes over the weights, by copying, and drops any gradient that failed work left behind.

        Raises:
            WeightsMismatch: they are another model's.
        """
        self.layout.require_fits("weights", weights)
        for parameter in self._parameters:
            parameter.grad = None
        self._flat.copy_(weights[PARAMETERS])
        for name, buffer in self._buffers.items():
            if buffer.shape != weights[name].shape:
                raise WeightsMismatch(name, f"shape {list(buffer.shape)}", f"shape {list(weights[name].shape)}")
            buffer.copy_(weights[name])

    def weights(self) -> Tensors:
        """The present weights, copied."""
        return {PARAMETERS: _copied(self._flat), **self._copied_buffers()}

    def like(self) -> Tensors:
        """The present weights, on the device and not copied: for their names, shapes and dtypes."""
        return {PARAMETERS: self._flat, **self._buffers}

    def take_gradient(self, room: Tensors | None = None) -> Tensors:
        """The gradient that `backward` left, with the buffers as they are now; the model has none afterwards.

        room: where to, tensors `like` these; None: new ones.
        A parameter that the loss did not use gets zeros. Cost: one copy of the parameters.
        Raises:
            ModelUnsupported: a sparse gradient.
        """
        parts = []
        for parameter, piece in zip(self._parameters, self.layout.pieces, strict=True):
            gradient, parameter.grad = parameter.grad, None
            if gradient is None:
                gradient = torch.zeros_like(parameter, requires_grad=False)
            elif gradient.layout is not torch.strided:
                raise ModelUnsupported(f"{piece.name} gets a sparse gradient; make its layer with sparse=False")
            parts.append(gradient.reshape(-1))
        room = room or {name: torch.empty_like(tensor, device="cpu") for name, tensor in self.like().items()}
        if self._flat.device.type == "cpu":
            torch.cat(parts, out=room[PARAMETERS])
        else:
            room[PARAMETERS].copy_(torch.cat(parts))
        for name, buffer in self._buffers.items():
            room[name].copy_(buffer)
        return room

    def _copied_buffers(self) -> dict[str, Tensor]:
        return {name: _copied(buffer) for name, buffer in self._buffers.items()}


def unflatten(module: nn.Module, weights: Tensors) -> nn.Module:
    """Loads weights into an ordinary module, whose parameters keep storages of their own; returns it.

    For the model that is handed to the user: `unflatten(build_model(task, arguments), weights)`.
    Raises:
        WeightsMismatch: they are another model's.
    """
    module.load_state_dict(Layout.of(module).named_state(weights))
    return module


def _only_dtype(parameters: dict[str, nn.Parameter]) -> torch.dtype:
    name, first = next(iter(parameters.items()))
    if not first.dtype.is_floating_point:
        raise ModelUnsupported(f"{name} is {first.dtype}; make it a buffer or give it a floating-point dtype")
    for other, parameter in parameters.items():
        if parameter.dtype != first.dtype:
            raise ModelUnsupported(
                f"{name} is {first.dtype} and {other} is {parameter.dtype}; convert the model with .to(one dtype)"
            )
    return first.dtype


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
