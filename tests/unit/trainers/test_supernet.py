"""Architectures that share weights get exactly their part of them, and change nothing else."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from examples.fashion_mnist.task import FashionMnist
from tests.unit.trainers.tasks import Digits
from trainers import Context, Split, Tensors, fingerprint, run_kind
from trainers.errors import SharingImpossible
from trainers.flat import PARAMETERS, FlatModel
from trainers.norms import settle_statistics
from trainers.supernet import Outline, cut, first_shared, scatter, shared_shapes
from trainers.supernet_layers import Choice, Skippable, SlicedConv2d, SlicedLinear

CPU = torch.device("cpu")
some = settings(max_examples=25, deadline=None)


class Residual(nn.Module):
    """Depth to skip: a name that only deep ones have."""

    def __init__(self, width: int, depth: int, kernel: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.head = nn.Linear(width * 64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for block in self.blocks:
            x = x + block(x).relu()
        return self.head(x.flatten(1))


class Searched(Digits):
    """Digits with width, depth and kernel to choose."""

    def model(self, width: int = 4, depth: int = 1, kernel: int = 3) -> nn.Module:
        return Residual(width, depth, kernel)


WIDTHS, DEPTHS, KERNELS = (2, 3, 5), (0, 1, 2), (1, 3, 5)
EVERY = [{"width": w, "depth": d, "kernel": k} for w, d, k in product(WIDTHS, DEPTHS, KERNELS)]
LARGEST = EVERY[-1]
architectures = st.sampled_from(EVERY)


def flat_model(seed: int = 0, **arguments: int) -> FlatModel:
    torch.manual_seed(seed)
    return FlatModel(Residual(**arguments), CPU)


def shared_of(models: list[FlatModel]) -> Tensors:
    return first_shared(shared_shapes([Outline.of(model) for model in models]), models)


@pytest.fixture(scope="module")
def shared() -> Tensors:
    """Every number of it is different."""
    made = shared_of([flat_model(**arguments) for arguments in EVERY])
    return {name: torch.arange(tensor.numel()).view(tensor.shape).float() for name, tensor in made.items()}


def with_shared(model: FlatModel, shared: Tensors) -> FlatModel:
    model.load({**model.weights(), PARAMETERS: cut(shared, Outline.of(model))})
    return model


def trained(model: FlatModel, optimizer: torch.optim.Optimizer | None = None) -> Tensor:
    """Its parameters after a step along some gradient."""
    optimizer = optimizer or torch.optim.SGD(model.module.parameters(), lr=0.1)
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    model.module(x).square().mean().backward()
    optimizer.step()
    return model.weights()[PARAMETERS]


# -- what an architecture gets --------------------------------------------------------------------------------------


def test_the_largest_architecture_gets_the_shared_weights_themselves() -> None:
    models = [flat_model(number, **arguments) for number, arguments in enumerate(EVERY)]
    shared = shared_of(models)
    assert torch.equal(cut(shared, Outline.of(models[-1])), models[-1].weights()[PARAMETERS])
    state = models[-1].module.state_dict()
    assert {name: tensor.shape for name, tensor in shared.items()} == {name: t.shape for name, t in state.items()}


@some
@given(architectures)
def test_a_parameter_is_the_leading_part_of_the_shared_one_and_a_kernel_its_middle(arguments: dict[str, int]) -> None:
    models = [flat_model(number, **each) for number, each in enumerate(EVERY)]
    shared = shared_of(models)
    state = with_shared(flat_model(**arguments), shared).module.state_dict()
    width, crop = arguments["width"], (KERNELS[-1] - arguments["kernel"]) // 2
    middle = slice(crop, KERNELS[-1] - crop)
    assert torch.equal(state["stem.weight"], shared["stem.weight"][:width, :, middle, middle])
    assert torch.equal(state["stem.bias"], shared["stem.bias"][:width])
    assert torch.equal(state["head.weight"], shared["head.weight"][:, : width * 64])
    for depth in range(arguments["depth"]):
        assert torch.equal(state[f"blocks.{depth}.weight"], shared[f"blocks.{depth}.weight"][:width, :width])


def test_a_narrow_network_computes_what_the_wide_one_does_with_its_further_channels_at_zero() -> None:
    wide = flat_model(width=5, depth=2, kernel=5)
    narrow = with_shared(flat_model(width=3, depth=2, kernel=5), dict(wide.module.state_dict()))
    for name, parameter in wide.module.named_parameters():
        if name != "head.bias":
            with torch.no_grad():
                parameter[3:] = 0.0 if name.startswith(("stem", "blocks")) else parameter[3:]
    x = torch.rand(6, 1, 8, 8)
    torch.testing.assert_close(wide.module(x), narrow.module(x))


def test_flattened_channels_of_the_examples_network_are_leading_columns() -> None:
    task = FashionMnist()
    models = [FlatModel(task.model(width=width), CPU) for width in (16, 32, 64)]
    shared = shared_of(models)
    narrow, wide = with_shared(models[0], shared).module, models[-1].module
    assert isinstance(narrow, nn.Sequential)
    assert isinstance(wide, nn.Sequential)
    images, _ = Context(task, seed=0).batch(Split.TRAIN, torch.arange(4))
    with torch.no_grad():
        channels = narrow[:6](images)  # [4, 32, side, side], before the flattening
        silent = torch.zeros(4, 96, *channels.shape[2:])  # the wide network's further channels
        flat = torch.cat([channels, silent], dim=1).flatten(1)
        torch.testing.assert_close(wide[7](flat), narrow[7](channels.flatten(1)))


# -- what comes back ------------------------------------------------------------------------------------------------


@some
@given(st.lists(architectures, min_size=1, max_size=4))
def test_what_no_architecture_has_stays_bit_for_bit_under_momentum_and_decay(chosen: list[dict[str, int]]) -> None:
    shared = shared_of([flat_model(**arguments) for arguments in EVERY])
    parts, used = [], {name: torch.zeros(tensor.shape, dtype=torch.bool) for name, tensor in shared.items()}
    for arguments in chosen:
        model = with_shared(flat_model(**arguments), shared)
        optimizer = torch.optim.AdamW(model.module.parameters(), lr=0.1, weight_decay=0.5)
        parts.append((Outline.of(model), trained(model, optimizer)))
        for name, region in Outline.of(model).regions({n: t.shape for n, t in shared.items()}).items():
            used[name][region] = True
    after = scatter(shared, parts)
    for name, tensor in shared.items():
        assert torch.equal(after[name][~used[name]], tensor[~used[name]])
        if used[name].any():
            assert (after[name][used[name]] != tensor[used[name]]).float().mean() > 0.5


def test_each_number_is_the_mean_over_those_that_have_it() -> None:
    shared = shared_of([flat_model(**arguments) for arguments in EVERY])
    models = [flat_model(width=w, depth=1, kernel=3) for w in (2, 3, 5)]
    parts = [
        (Outline.of(model), torch.full((model.layout.size,), value))
        for model, value in zip(models, (1.0, 2.0, 6.0), strict=True)
    ]
    after = scatter(shared, parts)
    assert after["stem.bias"].tolist() == [3.0, 3.0, 4.0, 6.0, 6.0]
    assert torch.equal(after["blocks.1.weight"], shared["blocks.1.weight"])


@some
@given(architectures)
def test_an_architectures_own_part_comes_back_bit_for_bit(arguments: dict[str, int]) -> None:
    shared = shared_of([flat_model(**each) for each in EVERY])
    outline = Outline.of(flat_model(**arguments))
    assert fingerprint(scatter(shared, [(outline, cut(shared, outline))])) == fingerprint(shared)
    assert fingerprint(scatter(shared, [])) == fingerprint(shared)


def test_gradients_are_zero_outside_of_what_was_used() -> None:
    shared = shared_of([flat_model(**arguments) for arguments in EVERY])
    zeros = {name: torch.zeros_like(tensor) for name, tensor in shared.items()}
    model = with_shared(flat_model(width=2, depth=1, kernel=3), shared)
    model.module(torch.rand(2, 1, 8, 8)).sum().backward()
    gradient = scatter(zeros, [(Outline.of(model), model.take_gradient()[PARAMETERS])])
    assert gradient["stem.weight"][:2, :, 1:4, 1:4].abs().sum() > 0
    gradient["stem.weight"][:2, :, 1:4, 1:4] = 0
    assert not gradient["stem.weight"].any()
    assert not gradient["head.weight"][:, 128:].any()
    assert not gradient["blocks.1.weight"].any()


# -- what cannot be shared ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        (
            nn.Linear(4, 3),
            nn.Conv1d(4, 3, 1),
            r"weight of shape \[3, 4, 1\] cannot .* \[3, 4\]: they differ in their number",
        ),
        (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 4), "even and odd size have no common centre"),
    ],
)
def test_layers_that_are_not_alike_are_refused_by_name(one: nn.Module, other: nn.Module, sentence: str) -> None:
    outlines = [Outline.of(FlatModel(module, CPU)) for module in (one, other)]
    with pytest.raises(SharingImpossible, match=sentence):
        shared_shapes(outlines)


def test_an_architecture_that_was_not_counted_is_refused() -> None:
    shared = shared_of([flat_model(width=2, depth=1, kernel=3)])
    with pytest.raises(SharingImpossible, match="larger than what is shared"):
        cut(shared, Outline.of(flat_model(width=3, depth=1, kernel=3)))
    with pytest.raises(SharingImpossible, match=r"blocks\.1\.weight .* is not shared"):
        cut(shared, Outline.of(flat_model(width=2, depth=2, kernel=3)))


# -- layers of one module -------------------------------------------------------------------------------------------


@some
@given(st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_a_sliced_linear_layer_is_its_leading_part(inputs: int, outputs: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = SlicedLinear(6, 5, bias=bias)
    x = torch.randn(3, 6)
    assert torch.equal(layer(x), nn.Linear.forward(layer, x))
    assert layer(x[:, :inputs], outputs).shape == (3, outputs)
    layer(x[:, :inputs], outputs).sum().backward()
    assert layer.weight.grad is not None
    outside = layer.weight.grad.clone()
    assert outside[:outputs, :inputs].abs().min() > 0
    outside[:outputs, :inputs] = 0
    assert not outside.any()


@some
@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_a_sliced_convolution_is_its_leading_channels_and_the_middle_of_its_kernel(
    inputs: int, channels: int, kernel: int, stride: int
) -> None:
    torch.manual_seed(0)
    layer = SlicedConv2d(3, 4, 5, stride=stride, padding=2)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(layer(x), nn.Conv2d.forward(layer, x))
    out = layer(x[:, :inputs], channels, kernel)
    plain = nn.Conv2d(inputs, channels, kernel, stride=stride, padding=kernel // 2)
    crop = (5 - kernel) // 2
    middle = slice(crop, 5 - crop)
    assert plain.bias is not None
    assert layer.bias is not None
    with torch.no_grad():
        plain.weight.copy_(layer.weight[:channels, :inputs, middle, middle])
        plain.bias.copy_(layer.bias[:channels])
    torch.testing.assert_close(out, plain(x[:, :inputs]))
    out.sum().backward()
    assert layer.weight.grad is not None
    outside = layer.weight.grad.clone()
    outside[:channels, :inputs, middle, middle] = 0
    assert not outside.any()


def test_a_block_that_is_skipped_returns_its_input_itself_and_no_gradient() -> None:
    layer = Skippable(nn.Linear(4, 4))
    x = torch.randn(2, 4, requires_grad=True)
    assert layer(x, on=False) is x
    torch.testing.assert_close(layer(x), x + layer.block(x))
    layer(x, on=False).sum().backward()
    assert all(parameter.grad is None for parameter in layer.parameters())


class Counting(nn.Linear):
    """Counts its calls."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


def test_of_several_blocks_only_the_chosen_one_is_computed() -> None:
    blocks = [Counting(3, 3) for _ in range(3)]
    x = torch.randn(2, 3)
    assert torch.equal(Choice(blocks)(x, 1), nn.Linear.forward(blocks[1], x))
    assert [block.calls for block in blocks] == [0, 1, 0]


# -- statistics -----------------------------------------------------------------------------------------------------


def test_statistics_settle_at_the_mean_over_the_batches() -> None:
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, momentum=0.3), nn.Linear(64, 10))
    norm = module[1]
    assert isinstance(norm, nn.BatchNorm1d)
    batches = [(torch.randn(8, 1, 8, 8) + shift, torch.zeros(8, dtype=torch.long)) for shift in (1.0, 2.0)]
    settle_statistics(module, Digits(), batches)
    means = torch.stack([images.flatten(1).mean(dim=0) for images, _ in batches]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, means)
    assert norm.momentum == 0.3


# -- the kind of work -----------------------------------------------------------------------------------------------

SHARE: dict[str, Any] = {
    "draw": 0,
    "epoch": 0,
    "block": 0,
    "batch_size": 32,
    "steps": 1,
    "models": [],
    "all_models": EVERY,
    "optimizer": {"name": "sgd", "lr": 0.1},
    "clip_norm": None,
}


def share(inputs: dict[str, Tensors], context: Context, **params: Any) -> tuple[Tensors, dict[str, float]]:
    outputs, metrics = run_kind("share", inputs, {**SHARE, **params}, context)
    return outputs["shared"], dict(metrics)


def test_shared_weights_are_made_from_the_seed_and_the_draw() -> None:
    context = Context(Searched(), seed=3)
    made, metrics = share({}, context)
    assert metrics == {"used": 0, "steps": 0}
    assert fingerprint(made) == fingerprint(share({}, context.for_work(9))[0])
    assert fingerprint(made) != fingerprint(share({}, context, draw=1)[0])
    assert {name: tuple(tensor.shape) for name, tensor in made.items()} == shared_shapes(
        [Outline.of(flat_model(**arguments)) for arguments in EVERY]
    )


def test_one_step_of_sgd_is_one_along_the_mean_gradient_of_those_that_use_a_number() -> None:
    context = Context(Searched(), seed=3)
    made, _ = share({}, context)
    chosen = [EVERY[0], EVERY[13], LARGEST]
    stepped, metrics = share({"shared": made}, context, models=chosen)
    assert metrics["used"] == 3
    assert 2 < metrics["loss"] < 3
    parts = []
    for arguments in chosen:
        model = with_shared(context.new_model(arguments), made)
        indices = context.order(0)[:32]
        context.task.loss(model.module, context.batch(Split.TRAIN, indices)).backward()
        parts.append((Outline.of(model), model.take_gradient()[PARAMETERS]))
    gradient = scatter({name: torch.zeros_like(tensor) for name, tensor in made.items()}, parts)
    for name, tensor in made.items():
        torch.testing.assert_close(stepped[name], tensor - 0.1 * gradient[name], rtol=1e-6, atol=1e-7)


def test_an_architecture_that_diverges_is_left_out() -> None:
    context = Context(Searched(), seed=3)
    made, _ = share({}, context)
    wild = {"name": "sgd", "lr": 1e30}
    stepped, metrics = share({"shared": made}, context, models=[LARGEST], optimizer=wild, steps=3)
    assert metrics["used"] == 0
    assert fingerprint(stepped) == fingerprint(made)


def test_sharing_learns() -> None:
    context = Context(Searched(), seed=3)
    weights, first = share({}, context, models=EVERY[::9], steps=15)
    for epoch in range(1, 4):
        weights, last = share({"shared": weights}, context, models=EVERY[epoch::9], steps=15, epoch=epoch)
    assert last["loss"] < 0.8 * first["loss"]
