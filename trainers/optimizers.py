"""Any optimizer of torch.optim as a function: (weights, state, gradient) in, (weights, state) out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn, optim

from trainers.errors import OptimizerInvalid, did_you_mean
from trainers.flat import Layout
from trainers.parallel import at_once, parts_of
from trainers.tensors import Tensors

STATE = "state."

OPTIMIZERS: Mapping[str, type[optim.Optimizer]] = {
    name.lower(): value
    for name, value in vars(optim).items()
    if isinstance(value, type) and issubclass(value, optim.Optimizer) and value is not optim.Optimizer
}
"""By lower-case name."""

REFUSED: Mapping[str, str] = {
    "lbfgs": "its step evaluates the loss again and again, and here a step sees one gradient only",
    "sparseadam": "it takes sparse gradients only, and here they are dense",
}
"""Why some of them cannot work."""


def check_optimizer(settings: Mapping[str, Any]) -> None:
    """Tries an optimizer on two tiny parameters; whether it suits a model shows when it meets one (Muon: 2-D only).

    settings: {"name": …, further keys: options of the class}; JSON values, lists stand for tuples.
    Raises:
        OptimizerInvalid: unknown or refused name, unknown option, or a value that the class does not take.
    Cost: 0.3 ms.
    """
    parameters = [nn.Parameter(torch.zeros(2, 2)) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = make_optimizer(settings, parameters)
    try:
        optimizer.step()
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:  # differentiable, capturable
        raise OptimizerInvalid(settings["name"], f"cannot step with these options: {error}") from error


def make_optimizer(settings: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> optim.Optimizer:
    """A live optimizer of torch over these parameters, for steps that nobody has to resume. Cost: 0.1 ms.

    settings, and what is raised: see `check_optimizer`.
    """
    given = settings["name"]
    name = given.lower()
    if name in REFUSED:
        raise OptimizerInvalid(given, f"cannot be used: {REFUSED[name]}. Allowed: {', '.join(_allowed())}")
    if name not in OPTIMIZERS:
        raise OptimizerInvalid(given, f"torch.optim has no such optimizer{did_you_mean(name, _allowed())}")
    chosen: Any = OPTIMIZERS[name]
    options = {
        key: tuple(value) if isinstance(value, list) else value for key, value in settings.items() if key != "name"
    }
    allowed = inspect.signature(chosen).parameters.keys() - {"params"}
    for option in options:
        if option not in allowed:
            raise OptimizerInvalid(given, f"has no option {option!r}{did_you_mean(option, allowed)}")
    try:
        optimizer: optim.Optimizer = chosen(parameters, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OptimizerInvalid(given, f"does not take these options: {error}") from error
    return optimizer


class Stepper:
    """One optimizer over one layout of parameters on the CPU, made once; what it remembers comes and goes as a value.

    The state's tensors are named "state.<index of the parameter in the layout>.<torch's name>"; None is left out,
    as torch's optimizers make it again.

    Exact: k steps equal k steps of the live torch optimizer over the same parameters, bit for bit, with one exception:
        a trainable parameter that the loss did not use has gradient zero here and none there, so that weight decay
        and momentum still move it here.
    Raises:
        OptimizerInvalid: see `check_optimizer`, or the class does not take these parameters.
    """

    def __init__(self, layout: Layout, settings: Mapping[str, Any]) -> None:
        self._layout = layout
        views = layout.views(torch.zeros(layout.size, dtype=layout.dtype))
        shaped = list(views)
        self._parameters = {n: nn.Parameter(shaped[n]) for n, piece in enumerate(layout.pieces) if piece.trainable}
        if not self._parameters:
            raise OptimizerInvalid(settings["name"], "the model has no parameter that requires a gradient")
        self._shares = [
            (make_optimizer(settings, list(share.values())), share) for share in _shares(self._parameters, layout.size)
        ]
        self._first = self._memory()
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
        Cost: 10 µs a parameter tensor and the optimizer's own passes over the numbers, and one copy of the state.
        """
        views, gradients = list(self._layout.views(flat)), list(self._layout.views(gradient))
        for number, parameter in self._parameters.items():
            parameter.data, parameter.grad = views[number], gradients[number]
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters.values(), clip_norm)
        now = {**self._options, **(options or {})}
        at_once([partial(_step, optimizer, share, state, now, room) for optimizer, share in self._shares])
        new_state = self._memory()
        for optimizer, _ in self._shares:
            optimizer.state.clear()
        for parameter in self._parameters.values():
            parameter.grad = None
        return room if room is not None and _same_memory(new_state, room) else new_state

    def _memory(self) -> dict[str, Tensor]:
        return {name: value for share in self._shares for name, value in memory_of(*share).items()}


def _shares(parameters: Mapping[int, nn.Parameter], size: int) -> Sequence[dict[int, nn.Parameter]]:
    """All parameters, divided for as many cores as are worth it: an optimizer moves each by itself."""
    parts = parts_of(size)
    shares: list[dict[int, nn.Parameter]] = [{} for _ in range(parts)]
    passed = 0
    for number, parameter in parameters.items():
        shares[min(parts - 1, passed * parts // size)][number] = parameter
        passed += parameter.numel()
    return [share for share in shares if share]


def _step(
    optimizer: optim.Optimizer,
    parameters: Mapping[int, nn.Parameter],
    state: Tensors,
    options: Mapping[str, Any],
    room: Tensors | None,
) -> None:
    remember(optimizer, parameters, state, room)
    for group in optimizer.param_groups:
        group.update(options)
    optimizer.step()


def effective_learning_rate(gradient: Tensor, memory: Tensors, layout: Layout, options: Mapping[str, Any]) -> float:
    """How far the weights move along a gradient that stays the same, in units of it, per step in the long run.

    SGD: lr·(1 - dampening)/(1 - momentum). Optimizers that divide by the root of a mean of squared gradients (Adam and
    its kin, by their "exp_avg_sq"): lr·Σ(g²/(√v̂ + ε)) / Σg², each coordinate counting by its part of the squared
    gradient; their first moment is a mean, and so changes nothing in the long run.

    Args:
        gradient: ḡ [P]. memory: of the optimizer after the step with it. options: of that step.
    Cost: 3 ms a million parameters of an Adam, nothing for others.
    """
    lr, momentum, dampening = (float(options.get(name) or 0.0) for name in ("lr", "momentum", "dampening"))
    pushed = total = 0.0
    for number, part in enumerate(layout.views(gradient)):
        second = memory.get(f"{STATE}{number}.exp_avg_sq")
        if second is None:
            continue
        steps, (_, beta) = float(memory[f"{STATE}{number}.step"]), options["betas"]
        root = (second / (1 - beta**steps)).sqrt_().add_(options["eps"])
        squared = part.double().square()
        total += float(squared.sum())
        pushed += float((squared / root).sum())
    return lr * pushed / total if total > 0 else lr * (1 - dampening) / (1 - momentum)


def memory_of(optimizer: optim.Optimizer, parameters: Mapping[int, nn.Parameter]) -> dict[str, Tensor]:
    """What it remembers, as a value: see `Stepper` for the names. On the CPU, the very tensors, not copied.

    parameters: those it steps, by their index in the layout.
    """
    memory = {}
    for number, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                assert isinstance(value, Tensor), f"{key} of {type(optimizer).__name__} is no tensor"
                memory[f"{STATE}{number}.{key}"] = value.cpu()
    return memory


def remember(
    optimizer: optim.Optimizer, parameters: Mapping[int, nn.Parameter], memory: Tensors, room: Tensors | None = None
) -> None:
    """Takes over what another of its class remembered of these parameters, by copying; parameters: as above.

    room: where to, for parameters on the CPU: tensors like `memory`; None: new ones.

    A count of steps stays on the CPU unless the optimizer is fused or capturable, all else goes where its parameter is,
    as torch's own load_state_dict has it.
    """
    counts_there = bool(optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
    for name, tensor in memory.items():
        _, number, key = name.split(".", 2)
        parameter = parameters.get(int(number))
        if parameter is None:
            continue
        device = "cpu" if key == "step" and not counts_there else parameter.device
        copied = tensor.to(device, copy=True) if room is None else room[name].copy_(tensor)
        optimizer.state[parameter][key] = copied


def _same_memory(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(one[name].data_ptr() == other[name].data_ptr() for name in one)


def _allowed() -> list[str]:
    return sorted(OPTIMIZERS.keys() - REFUSED.keys())
