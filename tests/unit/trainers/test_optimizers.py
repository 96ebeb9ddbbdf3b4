"""Every optimizer of torch.optim, as a function, equals the live one bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainers import check_optimizer, decode, encode, fingerprint, parallel
from trainers.errors import OptimizerInvalid, WeightsMismatch
from trainers.flat import PARAMETERS, FlatModel, Layout
from trainers.optimizers import OPTIMIZERS, REFUSED
from trainers.stepper import ELEMENTWISE, Stepper

SUPPORTED = sorted(OPTIMIZERS.keys() - REFUSED.keys())
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {"fused": True}],
    "adam": [{}, {"amsgrad": True, "betas": [0.8, 0.99]}, {"foreach": True}, {"fused": True}],
    "adamw": [{}, {"maximize": True}],
    "rmsprop": [{}, {"centered": True, "momentum": 0.5}],
    "adagrad": [{}, {"initial_accumulator_value": 0.3, "lr_decay": 0.1}],
}


def model_for(name: str) -> nn.Module:
    """Muon takes matrices only."""
    if name == "muon":
        return nn.Sequential(nn.Linear(3, 5, bias=False), nn.Linear(5, 2, bias=False))
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.Linear(7, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("name", SUPPORTED)
@settings(max_examples=12, deadline=None)
@given(steps=st.integers(1, 5), seed=st.integers(0, 1000), data=st.data())
def test_k_functional_steps_equal_k_live_ones(name: str, steps: int, seed: int, data: st.DataObject) -> None:
    options = {"lr": 0.1, **data.draw(st.sampled_from(OPTIONS.get(name, [{}])))}
    clip_norm = data.draw(st.sampled_from([None, 0.5]))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    live = model_for(name)
    optimizer_class: Any = OPTIMIZERS[name]
    optimizer = optimizer_class(live.parameters(), **options)
    flat_model = FlatModel(model_for(name), torch.device("cpu"))
    flat_model.module.load_state_dict(live.state_dict())
    flat = flat_model.weights()[PARAMETERS]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parallel, "ENOUGH", 4)
        patched.setattr(parallel, "_cores", lambda: data.draw(st.integers(1, 3), label="cores"))
        stepper = Stepper(flat_model.layout, {"name": name, **options})
    state = stepper.first_state()
    for _ in range(steps):
        gradient = torch.randn(len(flat), generator=generator)
        for parameter, part in zip(live.parameters(), flat_model.layout.views(gradient), strict=True):
            parameter.grad = part.clone()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(live.parameters(), clip_norm)
        optimizer.step()
        before, flat = flat, flat.clone()
        inputs = fingerprint(state), before.clone(), gradient.clone()
        room = {name: torch.full_like(tensor, 7) for name, tensor in state.items()} if state else None
        new_state = stepper.step(flat, gradient, state, clip_norm, room=room)
        assert inputs[0] == fingerprint(state)
        assert torch.equal(inputs[1], before)
        assert clip_norm is not None or torch.equal(inputs[2], gradient)  # the mean may be handed out
        state = decode(b"".join(encode(new_state)))
    assert flat.tolist() == nn.utils.parameters_to_vector(live.parameters()).tolist()


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_frozen_parameter_is_never_moved(name: str) -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[0].requires_grad_(False)
    model = FlatModel(module, torch.device("cpu"))
    flat = model.weights()[PARAMETERS]
    decay = {} if name == "rprop" else {"weight_decay": 0.1}
    stepper = Stepper(model.layout, {"name": name, "lr": 0.1, **decay})
    after = flat.clone()
    stepper.step(after, torch.ones(18), stepper.first_state(), None)
    assert torch.equal(after[:9], flat[:9])
    assert not torch.equal(after[9:], flat[9:])


def test_one_stepper_serves_any_state_in_any_order() -> None:
    """The engine may redo an old step between two new ones."""
    model = FlatModel(nn.Linear(3, 2), torch.device("cpu"))
    stepper = Stepper(model.layout, {"name": "adam", "lr": 0.1})
    start, gradient = model.weights()[PARAMETERS], torch.ones(8)
    first = start.clone()
    state = stepper.step(first, gradient.clone(), stepper.first_state(), None)
    second = first.clone()
    stepper.step(second, gradient.clone(), state, None)
    again = start.clone()
    assert fingerprint(stepper.step(again, gradient.clone(), stepper.first_state(), None)) == fingerprint(state)
    assert torch.equal(again, first)


@pytest.mark.parametrize("name", SUPPORTED)
def test_what_it_remembers_does_not_depend_on_how_many_cores_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run may be resumed on a larger machine."""
    monkeypatch.setattr(parallel, "ENOUGH", 4)
    model = FlatModel(model_for(name), torch.device("cpu"))
    after = []
    for cores in ((1, 3, 1), (3, 1, 2)):
        flat, state = model.weights()[PARAMETERS], None
        for count in cores:
            monkeypatch.setattr(parallel, "_cores", lambda count=count: count)
            stepper = Stepper(model.layout, {"name": name, "lr": 0.1})
            gradient = torch.linspace(-1, 1, len(flat))
            state = stepper.step(flat, gradient, stepper.first_state() if state is None else state)
        after.append(fingerprint({PARAMETERS: flat, **(state or {})}))
    assert after[0] == after[1]


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
def test_many_parameters_are_one_to_an_optimizer_that_moves_each_number_by_itself(name: str) -> None:
    layers = [nn.Linear(3, 3) for _ in range(4)]
    layers[1].requires_grad_(False)
    model = FlatModel(nn.Sequential(*layers), torch.device("cpu"))
    stepper = Stepper(model.layout, {"name": name, "lr": 0.1, **({"momentum": 0.9} if name == "sgd" else {})})
    state = stepper.step(model.weights()[PARAMETERS], torch.ones(48), stepper.first_state())
    by_parameter = {
        number: tensor.numel()
        for number in (0, 4)
        for key, tensor in state.items()
        if key.startswith(f"state.{number}.") and tensor.dim()
    }
    assert by_parameter == {0: 12, 4: 24}
    assert {key.split(".")[1] for key in state} == {"0", "4"}


def test_the_state_of_another_model_is_refused() -> None:
    stepper = Stepper(FlatModel(nn.Linear(3, 2), torch.device("cpu")).layout, {"name": "sgd", "lr": 0.1})
    with pytest.raises(WeightsMismatch, match=r"state\.3\.momentum_buffer"):
        stepper.step(torch.ones(8), torch.ones(8), {"state.3.momentum_buffer": torch.ones(8)})


def test_a_model_that_is_frozen_altogether_is_refused() -> None:
    model = FlatModel(nn.Linear(2, 2).requires_grad_(False), torch.device("cpu"))
    with pytest.raises(OptimizerInvalid, match="no parameter that requires a gradient"):
        Stepper(model.layout, {"name": "sgd", "lr": 0.1})


@pytest.mark.parametrize("name", [*SUPPORTED, "SGD", "AdamW"])
def test_every_name_is_taken_in_any_case(name: str) -> None:
    check_optimizer({"name": name, "lr": 0.1})


@pytest.mark.parametrize(
    ("given_settings", "sentence"),
    [
        ({"name": "sdg", "lr": 0.1}, "'sdg': torch.optim has no such optimizer; did you mean 'sgd'?"),
        ({"name": "lbfgs", "lr": 0.1}, "'lbfgs': cannot be used: its step evaluates the loss again and again"),
        ({"name": "SparseAdam", "lr": 0.1}, "it takes sparse gradients only"),
        ({"name": "sgd", "lr": 0.1, "momentun": 0.9}, "has no option 'momentun'; did you mean 'momentum'?"),
        ({"name": "sgd", "params": []}, "has no option 'params'"),
        ({"name": "sgd", "lr": -1.0}, "does not take these options: Invalid learning rate: -1.0"),
        ({"name": "sgd", "lr": 0.1, "nesterov": True}, "Nesterov momentum requires a momentum"),
        ({"name": "adam", "lr": 0.1, "betas": 0.9}, "does not take these options"),
        ({"name": "adam", "lr": 0.1, "differentiable": True}, "cannot step with these options"),
        ({"name": "adam", "lr": 0.1, "capturable": True}, "cannot step with these options"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(given_settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptimizerInvalid) as raised:
        check_optimizer(given_settings)
    assert sentence in str(raised.value)


def test_a_step_that_raised_leaves_nothing_to_the_next() -> None:
    layout = Layout.of(nn.Linear(3, 2))
    settings = {"name": "adam", "lr": 0.1}
    gradient = torch.arange(8.0)
    stepped, fresh = torch.ones(8), torch.ones(8)
    stepper = Stepper(layout, settings)
    with pytest.raises(TypeError):
        stepper.step(torch.ones(8), gradient, {}, options={"eps": "none"})
    stepper.step(stepped, gradient, {})
    Stepper(layout, settings).step(fresh, gradient, {})
    assert torch.equal(stepped, fresh)
