"""Models in one flat buffer: every kind of parameter and buffer finds its place, or is refused by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainers import fingerprint, unflatten
from trainers.errors import ModelUnsupported, WeightsMismatch
from trainers.flat import PARAMETERS, FlatModel, Layout

CPU = torch.device("cpu")


class Tied(nn.Module):
    """An embedding whose matrix is also the head's."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4, sparse=sparse)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("scale", torch.tensor(2.0))
        self.register_buffer("mask", torch.ones(3), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.embedding(x)) * self.scale
        return outputs


def test_tied_parameters_lie_in_the_buffer_once() -> None:
    flat = FlatModel(Tied(), CPU)
    assert flat.layout.size == 28
    assert flat.weights().keys() == {PARAMETERS, "buffer.scale"}
    assert flat.module.get_parameter("head.weight") is flat.module.get_parameter("embedding.weight")


def test_the_state_of_the_weights_is_the_models_state_dict() -> None:
    flat = FlatModel(Tied(), CPU)
    state = flat.layout.named_state(flat.weights())
    assert state.keys() == {"embedding.weight", "head.weight", "scale"}
    assert fingerprint(state) == fingerprint(flat.module.state_dict())


def test_a_state_dict_and_its_flat_value_are_each_others_inverse() -> None:
    model = FlatModel(Tied(), CPU)
    layout, weights = model.layout, model.weights()
    assert fingerprint(layout.flattened(model.module.state_dict())) == fingerprint(weights)
    assert layout.distinct(weights).keys() == {"embedding.weight", "scale"}
    assert fingerprint(layout.flattened(layout.distinct(weights))) == fingerprint(weights)
    other_name = {"head.weight": model.module.get_parameter("head.weight"), "scale": torch.tensor(2.0)}
    assert fingerprint(layout.flattened(other_name)) == fingerprint(weights)


def test_a_state_dict_of_another_model_is_refused_with_the_tensors_name() -> None:
    layout = Layout.of(nn.Linear(3, 2))
    with pytest.raises(WeightsMismatch, match=r"a state_dict holds extra where this model has bias"):
        layout.flattened({"weight": torch.zeros(2, 3), "extra": torch.zeros(1)})
    with pytest.raises(WeightsMismatch, match=r"weight holds \[3, 2\] of torch.float32"):
        layout.flattened({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)})


@pytest.mark.parametrize("make", [Tied, lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(5, 2))])
def test_weights_loaded_are_the_weights_read_back(make: type[nn.Module]) -> None:
    source, target = FlatModel(make(), CPU), FlatModel(make(), CPU)
    target.load(source.weights())
    assert fingerprint(target.weights()) == fingerprint(source.weights())
    assert fingerprint(target.module.state_dict()) == fingerprint(source.module.state_dict())


def test_an_unflattened_model_has_storages_of_its_own() -> None:
    weights = FlatModel(Tied(), CPU).weights()
    module = unflatten(Tied(), weights)
    before = fingerprint(weights)
    with torch.no_grad():
        module.get_parameter("embedding.weight").zero_()
    assert fingerprint(weights) == before


def test_the_gradient_has_the_parameters_places_and_zeros_where_the_loss_did_not_look() -> None:
    model = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(1, 1)])
    flat = FlatModel(model, CPU)
    model[1](torch.ones(1, 3)).sum().backward()
    gradient = flat.take_gradient()[PARAMETERS]
    assert gradient.tolist() == [0] * 9 + [1] * 8 + [0] * 2
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_frozen_parameter_has_its_place_and_no_gradient() -> None:
    model = nn.Linear(2, 1)
    model.weight.requires_grad_(False)
    flat = FlatModel(model, CPU)
    model(torch.ones(1, 2)).sum().backward()
    assert flat.take_gradient()[PARAMETERS].tolist() == [0, 0, 1]
    assert [piece.trainable for piece in flat.layout.pieces] == [False, True]


def test_weights_that_are_not_contiguous_keep_their_values() -> None:
    model = nn.Conv2d(3, 4, 3)
    model.weight.data = model.weight.data.contiguous(memory_format=torch.channels_last)
    before = model.weight.detach().clone()
    assert torch.equal(FlatModel(model, CPU).module.get_parameter("weight"), before)


def test_mixed_dtypes_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).half())
    with pytest.raises(ModelUnsupported, match=r"0\.weight is torch\.float32 and 1\.weight is torch\.float16"):
        Layout.of(model)


def test_parameters_that_are_no_floating_point_numbers_are_refused_by_name() -> None:
    model = nn.ParameterDict({"codes": nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)})
    with pytest.raises(ModelUnsupported, match=r"codes is torch\.int8"):
        Layout.of(model)


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(ModelUnsupported, match="no parameters"):
        Layout.of(nn.ReLU())


def test_a_sparse_gradient_is_refused_by_name() -> None:
    flat = FlatModel(Tied(sparse=True).embedding, CPU)
    flat.module(torch.tensor([1])).sum().backward()
    with pytest.raises(ModelUnsupported, match="weight gets a sparse gradient"):
        flat.take_gradient()


def test_weights_without_a_buffer_are_refused() -> None:
    flat = FlatModel(Tied(), CPU)
    with pytest.raises(WeightsMismatch, match=r"buffer\.scale"):
        flat.load({PARAMETERS: torch.zeros(28)})
    with pytest.raises(WeightsMismatch, match="float64"):
        flat.load({PARAMETERS: torch.zeros(28, dtype=torch.float64), "buffer.scale": torch.tensor(1.0)})
    with pytest.raises(WeightsMismatch, match=r"shape \[2\]"):
        flat.load({PARAMETERS: torch.zeros(28), "buffer.scale": torch.ones(2)})
