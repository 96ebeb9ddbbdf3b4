"""aTLAS starts at the base, reaches each model, and has the gradient that autograd would have found."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.unit.trainers.tasks import mlp
from trainers.coefficients import Combination
from trainers.flat import PARAMETERS, FlatModel, Layout
from trainers.merging.atlas import Atlas

some = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**32)


def flat(seed: int, module: nn.Module) -> tuple[Layout, Tensor]:
    torch.manual_seed(seed)
    model = FlatModel(module, torch.device("cpu"))
    return model.layout, model.weights()[PARAMETERS]


def atlas(seed: int, count: int) -> tuple[Atlas, Layout, Tensor, list[Tensor]]:
    layout, base = flat(seed, mlp())
    generator = torch.Generator().manual_seed(seed)
    models = [base + 0.1 * torch.randn(base.shape, generator=generator) for _ in range(count)]
    return Atlas(layout, base, models), layout, base, models


@some
@given(seed=seeds, count=st.integers(1, 4))
def test_zero_coefficients_give_the_base_bit_for_bit(seed: int, count: int) -> None:
    combination: Combination
    combination, layout, base, _ = atlas(seed, count)
    assert torch.equal(combination.combine(combination.start()), base)
    assert len(combination.start()) == count * len(layout.pieces)


@some
@given(seed=seeds, count=st.integers(1, 4))
def test_all_ones_for_one_model_give_that_model(seed: int, count: int) -> None:
    combination, _, _, models = atlas(seed, count)
    scalars = combination.start()
    combination.coefficients(scalars)[count - 1] = 1.0
    torch.testing.assert_close(combination.combine(scalars), models[-1])


@some
@given(seed=seeds)
def test_equal_coefficients_are_task_arithmetic(seed: int) -> None:
    combination, _, base, models = atlas(seed, 3)
    scalars = torch.full_like(combination.start(), 0.3)
    expected = base + 0.3 * torch.stack([model - base for model in models]).sum(0)
    torch.testing.assert_close(combination.combine(scalars), expected)


@some
@given(seed=seeds)
def test_its_gradient_is_autograds(seed: int) -> None:
    combination, layout, base, models = atlas(seed, 2)
    generator = torch.Generator().manual_seed(seed)
    scalars = torch.rand(len(combination.start()), generator=generator).double().requires_grad_()
    inputs, targets = torch.randn(20, 1, 8, 8, generator=generator), torch.arange(20) % 10
    sizes = [piece.size for piece in layout.pieces]
    spread = [row.repeat_interleave(torch.tensor(sizes)) for row in scalars.view(2, -1)]
    weights = base + sum((row * (model - base) for row, model in zip(spread, models, strict=True)), torch.zeros(()))
    weights = weights.float()
    weights.retain_grad()
    state = dict(zip([piece.name for piece in layout.pieces], layout.views(weights), strict=True))
    cross_entropy(torch.func.functional_call(mlp(), state, (inputs,)), targets).backward()
    assert scalars.grad is not None
    assert weights.grad is not None
    torch.testing.assert_close(
        combination.pull_back(scalars.detach(), weights.grad), scalars.grad, rtol=1e-4, atol=1e-5
    )


def test_a_frozen_parameters_coefficients_have_no_gradient() -> None:
    module = mlp()
    next(module.parameters()).requires_grad_(False)
    layout, base = flat(1, module)
    combination = Atlas(layout, base, [base + 1])
    slopes = combination.pull_back(combination.start(), torch.ones_like(base))
    assert slopes[0] == 0
    assert bool((slopes[1:] != 0).all())
