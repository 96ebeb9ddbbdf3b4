"""The mean: exact where it promises, in float64 elsewhere."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainers.mean import CHUNK, squared_distance, squared_norm, step_statistics, weighted_mean

SIZES = [1, 5, CHUNK, CHUNK + 1, 2 * CHUNK + 3]


def normal(size: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(dtype)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    st.integers(1, 10**6),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
)
def test_a_single_tensor_comes_through_bit_for_bit(numbers: list[float], samples: int, dtype: torch.dtype) -> None:
    tensor = torch.tensor(numbers).to(dtype)
    mean = weighted_mean([tensor], [samples])
    assert mean.dtype == dtype
    assert bytes(mean.view(torch.uint8).tolist()) == bytes(tensor.view(torch.uint8).tolist())


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3, width=32), st.integers(1, 1000)), min_size=1, max_size=40),
)
def test_the_mean_is_the_exact_one_rounded_to_the_dtype(pairs: list[tuple[float, int]]) -> None:
    mean = weighted_mean([torch.tensor([number]) for number, _ in pairs], [samples for _, samples in pairs])
    total = sum(samples for _, samples in pairs)
    exact = sum((Fraction(number) * samples for number, samples in pairs), Fraction()) / total
    largest = max(abs(number) for number, _ in pairs)
    half_spacing = max(abs(exact) * Fraction(2) ** -24, Fraction(2) ** -150)  # of float32, subnormal numbers included
    assert abs(Fraction(mean.item()) - exact) <= half_spacing + Fraction(largest) * Fraction(1e-13)


@pytest.mark.parametrize("count", [2, 16, 17, 40])
@pytest.mark.parametrize("size", SIZES)
def test_partial_sums_of_sixteen_are_added_in_order(count: int, size: int) -> None:
    tensors = [normal(size, seed) for seed in range(count)]
    samples = [1.0 + seed for seed in range(count)]
    total = sum(samples)
    blocks = []
    for start in range(0, count, 16):
        terms = [tensors[i].double() * (samples[i] / total) for i in range(start, min(start + 16, count))]
        partial = terms[0]
        for term in terms[1:]:
            partial = partial + term
        blocks.append(partial)
    expected = blocks[0]
    for block in blocks[1:]:
        expected = expected + block
    assert torch.equal(weighted_mean(tensors, samples), expected.float())


def test_the_mean_keeps_shape_and_leaves_its_inputs_alone() -> None:
    tensors = [normal(12, seed).view(3, 4) for seed in range(3)]
    before = [tensor.clone() for tensor in tensors]
    assert weighted_mean(tensors, [1, 2, 3]).shape == (3, 4)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, before, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_norms_and_distances_are_those_of_float64(size: int) -> None:
    one, other, third = (normal(size, seed) for seed in range(3))
    a, b, c = one.double(), other.double(), third.double()
    assert squared_norm(one) == pytest.approx(a.dot(a).item(), rel=1e-12)
    assert squared_distance(one, other) == pytest.approx((a - b).dot(a - b).item(), rel=1e-12)
    expected = ((b - c).dot(b - c).item(), a.dot(b - c).item())
    assert step_statistics(one, other, third) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_one_number_that_is_not_finite_shows_in_the_norm(bad: float) -> None:
    tensor = torch.zeros(CHUNK + 7)
    tensor[CHUNK + 3] = bad
    assert not squared_norm(tensor) < float("inf")
