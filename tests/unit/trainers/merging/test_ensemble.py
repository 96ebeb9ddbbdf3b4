"""The weights of an ensemble are the exact minimum of their quadratic, and the module computes what they weigh."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from trainers.merging.ensemble import Ensemble, ensemble_weights
from trainers.merging.errors import PredictionsInvalid
from trainers.merging.simplex import minimise_on_simplex

some = settings(max_examples=100, deadline=None)
seeds = st.integers(0, 2**32)


def problem(seed: int, members: int) -> tuple[list[Tensor], Tensor]:
    """Probabilities of members of differing skill, and labels."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 5, (60,), generator=generator)
    logits = torch.randn(members, 60, 5, generator=generator)
    skill = torch.rand(members, 1, 1, generator=generator) * 3
    return list((logits + skill * one_hot(targets, 5)).softmax(dim=2)), targets


def quadratic(predictions: list[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
    stacked = torch.stack(predictions).double().flatten(1)
    return stacked @ stacked.T, stacked @ one_hot(targets, 5).double().flatten()


def value(gram: Tensor, linear: Tensor, weights: Tensor) -> float:
    return float(weights @ gram @ weights / 2 - linear @ weights)


def require_optimal(gram: Tensor, linear: Tensor, weights: Tensor) -> None:
    """The conditions of Karush, Kuhn and Tucker to 1e-10, relative to the problem's largest number."""
    scale = max(float(gram.abs().max()), float(linear.abs().max()))
    slopes = (gram @ weights - linear) / scale
    assert float(weights.min()) >= 0
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-12)
    level = float(weights @ slopes)
    assert float(slopes.min()) >= level - 1e-10
    assert float((slopes[weights > 0] - level).abs().max()) <= 1e-10


@some
@given(seed=seeds, members=st.integers(1, 12))
def test_no_weights_on_the_simplex_are_better(seed: int, members: int) -> None:
    predictions, targets = problem(seed, members)
    gram, linear = quadratic(predictions, targets)
    require_optimal(gram, linear, ensemble_weights(predictions, targets))


@some
@given(seed=seeds, members=st.integers(2, 8))
def test_any_convex_quadratic_is_solved_also_a_singular_one(seed: int, members: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(members, max(1, members - 2), generator=generator).double()
    gram, linear = factor @ factor.T, factor @ torch.randn(factor.shape[1], generator=generator).double()
    require_optimal(gram, linear, minimise_on_simplex(gram, linear))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, members=st.integers(2, 8))
def test_it_is_as_good_as_what_scipy_finds(seed: int, members: int) -> None:
    predictions, targets = problem(seed, members)
    gram, linear = quadratic(predictions, targets)
    g, c = gram.numpy(), linear.numpy()
    found = minimize(
        lambda w: w @ g @ w / 2 - c @ w,
        numpy.full(members, 1 / members),
        jac=lambda w: g @ w - c,
        bounds=[(0, 1)] * members,
        constraints=[{"type": "eq", "fun": lambda w: w.sum() - 1}],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert value(gram, linear, ensemble_weights(predictions, targets)) <= found.fun + 1e-9 * abs(found.fun)


@some
@given(seed=seeds, members=st.integers(1, 6))
def test_copies_of_a_member_change_no_prediction(seed: int, members: int) -> None:
    predictions, targets = problem(seed, members)
    once = ensemble_weights(predictions, targets)
    twice = ensemble_weights([*predictions, *predictions], targets)
    merged = torch.stack(predictions).double()
    one, other = torch.einsum("m,mnc->nc", once, merged), torch.einsum("m,mnc->nc", twice, merged.repeat(2, 1, 1))
    torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7)


def test_a_member_that_is_always_right_gets_all_the_weight() -> None:
    predictions, targets = problem(3, 4)
    weights = ensemble_weights([*predictions, one_hot(targets, 5).float()], targets)
    assert weights.tolist() == pytest.approx([0, 0, 0, 0, 1], abs=1e-12)


def test_predictions_that_cannot_be_combined_are_refused() -> None:
    predictions, targets = problem(1, 2)
    with pytest.raises(PredictionsInvalid, match=r"\[60, 5\], \[60, 4\]"):
        ensemble_weights([predictions[0], predictions[1][:, :4]], targets)
    with pytest.raises(PredictionsInvalid, match="no class numbers below 5"):
        ensemble_weights(predictions, targets + 1)
    with pytest.raises(PredictionsInvalid, match="NaN or Inf"):
        ensemble_weights([predictions[0] / 0, predictions[1]], targets)


def test_the_module_gives_the_logarithm_of_the_weighted_mean_of_probabilities() -> None:
    torch.manual_seed(1)
    ensemble = Ensemble([nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)])
    ensemble.weights.copy_(torch.tensor([0.7, 0.3, 0.0]))
    inputs, targets = torch.randn(9, 4), torch.arange(9) % 3
    members = [member(inputs).softmax(dim=1) for member in ensemble.members]
    mean = 0.7 * members[0] + 0.3 * members[1]
    torch.testing.assert_close(ensemble(inputs).exp(), mean)
    torch.testing.assert_close(cross_entropy(ensemble(inputs), targets), -mean[torch.arange(9), targets].log().mean())


def test_an_ensemble_of_one_predicts_as_its_member() -> None:
    torch.manual_seed(1)
    member = nn.Linear(4, 3)
    inputs = torch.randn(9, 4)
    torch.testing.assert_close(Ensemble([member])(inputs).exp(), member(inputs).softmax(dim=1))
