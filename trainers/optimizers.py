"""The optimizers of torch.optim by name, and what they remember as a value."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

from trainers.errors import OptimizerInvalid, did_you_mean
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


def memory_of(optimizer: optim.Optimizer, parameters: Mapping[int, nn.Parameter]) -> dict[str, Tensor]:
    """What it remembers, as a value: tensors named "state.<number>.<torch's name>". On the CPU, the very tensors, not
    copied. None is left out, as torch's optimizers make it again.

    parameters: those it steps, by their number.
    """
    memory = {}
    for number, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                assert isinstance(value, Tensor), f"{key} of {type(optimizer).__name__} is no tensor"
                memory[f"{STATE}{number}.{key}"] = value.cpu()
    return memory


def owner_of(name: str) -> tuple[int, str]:
    """The parameter's number and torch's name, from the name of a tensor of such a value."""
    _, number, key = name.split(".", 2)
    return int(number), key


def remember(optimizer: optim.Optimizer, parameters: Mapping[int, nn.Parameter], memory: Tensors) -> None:
    """Takes over what another of its class remembered of these parameters, by copying; parameters: as above.

    A count of steps stays on the CPU unless the optimizer is fused or capturable, all else goes where its parameter is,
    as torch's own load_state_dict has it.
    """
    counts_there = bool(optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
    for name, tensor in memory.items():
        number, key = owner_of(name)
        device = "cpu" if key == "step" and not counts_there else parameters[number].device
        optimizer.state[parameters[number]][key] = tensor.to(device, copy=True)


def _allowed() -> list[str]:
    return sorted(OPTIMIZERS.keys() - REFUSED.keys())
