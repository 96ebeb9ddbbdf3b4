"""Any optimizer of torch.optim as a function: (weights, state, gradient) in, (weights, state) out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn, optim

from trainers.errors import OptimizerInvalid, WeightsMismatch
from trainers.flat import Layout
from trainers.mean import CHUNK
from trainers.optimizers import STATE, make_optimizer, memory_of, owner_of
from trainers.parallel import at_once, parts_of
from trainers.tensors import Tensors

ELEMENTWISE = frozenset(
    ("adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "nadam", "radam", "rmsprop", "rprop", "sgd")
)
"""What these do to a number depends on no other number, so all parameters may be stepped as one."""

EXACT = frozenset((torch.float32, torch.float64))
"""Of these torch computes a number alike wherever it lies in a tensor; of half ones the last few of a row otherwise."""

OTHER_CODE = frozenset(("foreach", "fused"))
"""Options that have torch compute with other code, which is left to its own ways."""


class Span(NamedTuple):
    """Consecutive numbers of the flat buffer that are one parameter to the optimizer: from `start`, of this shape."""

    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)


class Portion(NamedTuple):
    """What one core steps of a span, `number` by name: its numbers from `first` up to `last`."""

    number: int
    span: Span
    first: int
    last: int

    def of_flat(self, flat: Tensor) -> Tensor:
        numbers = flat[self.span.start + self.first : self.span.start + self.last]
        return numbers.view(self.span.shape) if self.whole else numbers

    def of_state(self, tensor: Tensor) -> Tensor:
        """Its part of a tensor that the optimizer remembers; of a count, which has no dimensions, all."""
        return tensor if self.whole or not tensor.dim() else tensor[self.first : self.last]

    @property
    def whole(self) -> bool:
        return self.last - self.first == self.span.size


Share: TypeAlias = Mapping[Portion, nn.Parameter]
"""What one core steps."""


class Stepper:
    """One optimizer over one layout of parameters on the CPU, made once; what it remembers comes and goes as a value.

    The state's tensors are named "state.<number>.<torch's name>", by the index in the layout of a parameter. Where an
    optimizer is ELEMENTWISE, parameters that lie one after another are one, called by the first: their number costs
    nothing.

    Exact: k steps equal k steps of the live torch optimizer over the same parameters, bit for bit, with one exception:
        a trainable parameter that the loss did not use has gradient zero here and none there, so that weight decay
        and momentum still move it here.
    Raises:
        OptimizerInvalid: see `check_optimizer`, or the class does not take these parameters.
    """

    def __init__(self, layout: Layout, settings: Mapping[str, Any]) -> None:
        self._layout = layout
        joined = _joinable(layout, settings)
        self._spans = _spans(layout, joined)
        if not self._spans:
            raise OptimizerInvalid(settings["name"], "the model has no parameter that requires a gradient")
        flat = torch.zeros(layout.size, dtype=layout.dtype)
        self._shares = [
            (make_optimizer(settings, list(share.values())), share)
            for share in _shares(self._spans, flat, divisible=joined)
        ]
        self._first = self._memory(None)
        group = self._shares[0][0].param_groups[0]
        self._options = {name: value for name, value in group.items() if name != "params"}

    @property
    def options(self) -> Mapping[str, Any]:
        """Of the optimizer, defaults included, as they are when a step says nothing else."""
        return self._options

    def first_state(self) -> Tensors:
        """Before the first step; empty for most optimizers, which make it in their first step."""
        return {name: tensor.clone() for name, tensor in self._first.items()}

    def step(
        self,
        flat: Tensor,
        gradient: Tensor,
        state: Tensors,
        clip_norm: float | None = None,
        options: Mapping[str, Any] | None = None,
        room: Tensors | None = None,
    ) -> Tensors:
        """One step, in place on `flat`; returns the new state.

        Args:
            flat: parameters [P]; overwritten. gradient: [P]; overwritten if it is clipped.
            state: of the step before, or `first_state()`; not modified.
            clip_norm: > 0, largest norm of the gradient over all parameters, as `clip_grad_norm_` does it.
            options: of the optimizer that are others in this step (lr, momentum, …). room: tensors like `state`, which
                the new state will be if the optimizer steps in place; None: new ones.
        Raises:
            WeightsMismatch: the state is another model's, or another optimizer's.
        Cost: the optimizer's own passes over the numbers, and one copy of the state; 10 µs a parameter tensor for
            optimizers that are not ELEMENTWISE.
        """
        self._require_fits(state)
        parameters = {portion: parameter for _, share in self._shares for portion, parameter in share.items()}
        for portion, parameter in parameters.items():
            parameter.data, parameter.grad = portion.of_flat(flat), portion.of_flat(gradient)
        if clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters.values(), clip_norm, self._norm(gradient))
        now = {**self._options, **(options or {})}
        try:
            at_once([partial(_step, optimizer, share, state, now, room) for optimizer, share in self._shares])
            new_state = self._memory(room)
        finally:
            for optimizer, _ in self._shares:
                optimizer.state.clear()
            for parameter in parameters.values():
                parameter.grad = None
        if room is not None and new_state.keys() == room.keys() and all(new_state[n] is room[n] for n in room):
            return room
        return new_state

    def effective_learning_rate(self, gradient: Tensor, memory: Tensors, options: Mapping[str, Any]) -> float:
        """How far the weights move along a gradient that stays the same, in units of it, per step in the long run.

        SGD: lr·(1 - dampening)/(1 - momentum). Optimizers that divide by the root of a mean of squared gradients (Adam
        and its kin, by their "exp_avg_sq"): lr·Σ(g²/(√v̂ + ε)) / Σg², each coordinate counting by its part of the
        squared gradient; their first moment is a mean, and so changes nothing in the long run.

        Args:
            gradient: ḡ [P]. memory: of the optimizer after the step with it. options: of that step.
        Cost: 3 ms a million parameters of an Adam, nothing for others.
        """
        lr, momentum, dampening = (float(options.get(name) or 0.0) for name in ("lr", "momentum", "dampening"))
        pushed = total = 0.0
        for number, span in self._spans.items():
            second = memory.get(f"{STATE}{number}.exp_avg_sq")
            if second is None:
                continue
            steps, (_, beta) = float(memory[f"{STATE}{number}.step"]), options["betas"]
            numbers = gradient[span.start : span.start + span.size]
            for part, mean in zip(torch.split(numbers, CHUNK), torch.split(second.reshape(-1), CHUNK), strict=True):
                root = (mean / (1 - beta**steps)).sqrt_().add_(options["eps"])
                squared = part.double().square()
                total += float(squared.sum())
                pushed += float((squared / root).sum())
        return lr * pushed / total if total > 0 else lr * (1 - dampening) / (1 - momentum)

    def _norm(self, gradient: Tensor) -> Tensor:
        """As `clip_grad_norm_` has it: that of the parameters' norms, whatever is stepped as one."""
        views = zip(self._layout.views(gradient), self._layout.pieces, strict=True)
        return nn.utils.get_total_norm([view for view, piece in views if piece.trainable])

    def _require_fits(self, state: Tensors) -> None:
        strange = [name for name in state if owner_of(name)[0] not in self._spans]
        if strange:
            raise WeightsMismatch("the optimizer's state", f"parameters {list(self._spans)}", ", ".join(strange))

    def _memory(self, room: Tensors | None) -> dict[str, Tensor]:
        """What the optimizers remember; where they did so in `room`, its very tensors."""
        parts: dict[str, list[Tensor]] = {}
        for optimizer, share in self._shares:
            parameters = {portion.number: parameter for portion, parameter in share.items()}
            for name, part in memory_of(optimizer, parameters).items():
                parts.setdefault(name, []).append(part)
        return {name: _joined(values, room.get(name) if room else None) for name, values in parts.items()}


def _joinable(layout: Layout, settings: Mapping[str, Any]) -> bool:
    known = settings["name"].lower() in ELEMENTWISE and layout.dtype in EXACT
    return known and not any(settings.get(option) for option in OTHER_CODE)


def _spans(layout: Layout, joined: bool) -> dict[int, Span]:
    """What the optimizer takes for a parameter, by number."""
    spans: dict[int, Span] = {}
    start, follows = 0, None
    for number, piece in enumerate(layout.pieces):
        if not piece.trainable:
            follows = None
        elif joined and follows is not None:
            spans[follows] = Span(spans[follows].start, (spans[follows].size + piece.size,))
        else:
            spans[number] = Span(start, (piece.size,) if joined else piece.shape)
            follows = number
        start += piece.size
    return spans


def _shares(spans: Mapping[int, Span], flat: Tensor, divisible: bool) -> Sequence[Share]:
    """All of them, divided for as many cores as are worth it. divisible: a span may be cut, else it goes whole."""
    size = sum(span.size for span in spans.values())
    parts = parts_of(size)
    shares: list[dict[Portion, nn.Parameter]] = [{} for _ in range(parts)]
    passed = 0
    for number, span in spans.items():
        if divisible:
            bounds = [size * part // parts - passed for part in range(parts + 1)]
            cuts = [(max(0, low), min(span.size, high)) for low, high in pairwise(bounds)]
        else:
            mine = min(parts - 1, passed * parts // size)
            cuts = [(0, span.size if part == mine else 0) for part in range(parts)]
        for share, (first, last) in zip(shares, cuts, strict=True):
            if first < last:
                portion = Portion(number, span, first, last)
                share[portion] = nn.Parameter(portion.of_flat(flat))
        passed += span.size
    return [share for share in shares if share]


def _step(
    optimizer: optim.Optimizer,
    share: Share,
    state: Tensors,
    options: Mapping[str, Any],
    room: Tensors | None,
) -> None:
    mine = {portion.number: portion for portion in share}
    for name, tensor in state.items():
        number, key = owner_of(name)
        if (portion := mine.get(number)) is not None:
            part = portion.of_state(tensor)
            if room is None or (portion.first and not tensor.dim()):  # a count: each core keeps its own
                optimizer.state[share[portion]][key] = part.clone()
            else:
                optimizer.state[share[portion]][key] = portion.of_state(room[name]).copy_(part)
    for group in optimizer.param_groups:
        group.update(options)
    optimizer.step()


def _joined(parts: Sequence[Tensor], room: Tensor | None) -> Tensor:
    """The cores' parts of a tensor as one: that of `room` if they are in it."""
    if room is not None and parts[0].data_ptr() == room.data_ptr():
        return room
    return parts[0] if len(parts) == 1 or not parts[0].dim() else torch.cat(list(parts))
