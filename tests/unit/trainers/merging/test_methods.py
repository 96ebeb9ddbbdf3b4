"""The identities of each merge method, from its paper and from the sheet that we measured it by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.merging.methods import method_of

some = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32)
counts = st.integers(2, 5)


def apply(name: str, base: Tensor | None, sources: Sequence[Tensor], **options: Any) -> Tensor:
    method = method_of(name)
    return method(base, sources, method.options(options))


def models(seed: int, count: int, *shape: int) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator)
    return base, [base + torch.randn(shape, generator=generator) for _ in range(count)]


def close(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(one.double(), other.double(), rtol=tolerance, atol=tolerance)


@some
@given(seed=seeds, count=counts)
def test_the_uniform_soup_is_the_base_plus_the_mean_task_vector(seed: int, count: int) -> None:
    base, sources = models(seed, count, 6, 4)
    close(apply("uniform", None, sources), base + torch.stack([source - base for source in sources]).mean(0))


@some
@given(seed=seeds, count=counts)
def test_the_uniform_soup_is_the_running_mean(seed: int, count: int) -> None:
    _, sources = models(seed, count, 6)
    running = sources[0]
    for number, source in enumerate(sources[1:], start=1):
        running = running * number / (number + 1) + source / (number + 1)
    close(apply("uniform", None, sources), running)


@some
@given(seed=seeds, count=counts)
def test_task_arithmetic_goes_from_the_base_to_the_model_and_through_the_soup(seed: int, count: int) -> None:
    base, sources = models(seed, count, 5, 3)
    assert torch.equal(apply("task_arithmetic", base, sources, alpha=0.0).float(), base)
    assert torch.equal(apply("task_arithmetic", base, sources[:1], alpha=1.0).float(), sources[0])
    close(apply("task_arithmetic", base, sources, alpha=1 / count), apply("uniform", None, sources))


@some
@given(seed=seeds)
def test_ties_of_one_whole_model_is_that_model(seed: int) -> None:
    base, sources = models(seed, 1, 5, 3)
    assert torch.equal(apply("ties", base, sources, density=1.0).float(), sources[0])


@some
@given(seed=seeds, count=counts)
def test_ties_of_changes_with_equal_signs_is_their_mean_or_sum(seed: int, count: int) -> None:
    base, sources = models(seed, count, 9)
    sign = (sources[0] - base).sign()
    sources = [base + sign * (source - base).abs() for source in sources]
    mean = torch.stack([source - base for source in sources]).mean(0)
    close(apply("ties", base, sources, density=1.0), base + mean)
    close(apply("ties", base, sources, density=1.0, combine="sum"), base + count * mean)


@some
@given(seed=seeds, density=st.floats(0.01, 1))
def test_ties_keeps_the_largest_changes_of_each_model(seed: int, density: float) -> None:
    base, sources = models(seed, 1, 40)
    change = apply("ties", base, sources, density=density) - base.double()
    kept = change != 0
    assert int(kept.sum()) == max(1, round(density * 40))
    sizes = (sources[0] - base).abs()
    assert float(sizes[kept].min()) >= float(sizes[~kept].max() if not kept.all() else 0)


def test_a_change_of_zero_is_neither_counted_nor_kept_by_ties() -> None:
    base = torch.zeros(2)
    sources = [torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])]
    assert apply("ties", base, sources, density=1.0).tolist() == [1.0, 3.0]


def test_where_changes_cancel_ties_takes_the_sign_of_most_numbers() -> None:
    base = torch.zeros(3)
    sources = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-1.0, 2.0, 3.0])]
    assert apply("ties", base, sources, density=1.0).tolist() == [1.0, 2.0, 3.0]
    assert apply("ties", base, [-source for source in sources], density=1.0).tolist() == [-1.0, -2.0, -3.0]
    assert apply("ties", torch.zeros(1), [torch.ones(1), -torch.ones(1)], density=1.0).tolist() == [0.0]


@some
@given(seed=seeds, count=counts)
def test_model_stock_is_the_mean_where_all_agree_and_the_base_where_none_does(seed: int, count: int) -> None:
    base, sources = models(seed, 1, 30)
    close(apply("model_stock", base, sources * count), sources[0])
    orthogonal = [base + torch.eye(count, 30)[number] * (number + 1.0) for number in range(count)]
    close(apply("model_stock", base, orthogonal), base)
    opposed = [sources[0], 2 * base - sources[0]]
    close(apply("model_stock", base, opposed), base)


def test_model_stock_shrinks_a_noisy_mean_as_is_best() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(20_000, generator=generator)
    base = torch.zeros(20_000)
    sources = [truth + 1.5 * torch.randn(20_000, generator=generator) for _ in range(3)]
    mean = torch.stack(sources).mean(0)
    ratio = float(apply("model_stock", base, sources).norm() / mean.norm())
    assert ratio == pytest.approx(float(mean @ truth / (mean @ mean)), abs=0.02)


@some
@given(seed=seeds, count=counts)
def test_iso_c_has_a_flat_spectrum_with_the_nuclear_norm_of_the_sum(seed: int, count: int) -> None:
    base, sources = models(seed, count, 8, 5)
    total = sum((source.double() - base.double() for source in sources), torch.zeros(8, 5, dtype=torch.float64))
    delta = apply("iso_c", base.double(), [source.double() for source in sources]) - base.double()
    sigma = torch.linalg.svdvals(delta)
    assert float(sigma.max() - sigma.min()) < 1e-9 * float(sigma.max())
    close(sigma.sum(), torch.linalg.svdvals(total).sum(), 1e-9)
    copies = apply("iso_c", base.double(), [sources[0].double()] * count) - base.double()
    close(copies, count * (apply("iso_c", base.double(), [sources[0].double()]) - base.double()), 1e-9)


@some
@given(seed=seeds, rank=st.integers(1, 4))
def test_iso_c_gives_null_directions_no_weight(seed: int, rank: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    base = torch.zeros(9, 6, dtype=torch.float64)
    low = torch.randn(9, rank, generator=generator).double() @ torch.randn(rank, 6, generator=generator).double()
    sigma = torch.linalg.svdvals(apply("iso_c", base, [low]))
    close(sigma[:rank], torch.linalg.svdvals(low)[:rank].mean().expand(rank), 1e-9)
    assert float(sigma[rank:].max()) < 1e-9 * float(sigma[0])


@some
@given(seed=seeds, count=counts)
def test_iso_c_of_what_is_no_matrix_is_the_mean_task_vector(seed: int, count: int) -> None:
    for shape in ((7,), (3, 2, 2, 2)):
        base, sources = models(seed, count, *shape)
        close(apply("iso_c", base, sources), apply("uniform", None, sources))
    flat = apply("iso_c", base.flatten(1), [source.flatten(1) for source in sources])
    close(apply("iso_c", base, sources, convolutions="matrix").flatten(1), flat)


@some
@given(seed=seeds, t=st.floats(0, 1))
def test_slerp_is_symmetric_and_keeps_the_norm_of_unit_tensors(seed: int, t: float) -> None:
    _, (one, other) = models(seed, 2, 12)
    close(apply("slerp", None, [one, other], t=t), apply("slerp", None, [other, one], t=1 - t))
    units = [one / one.norm(), other / other.norm()]
    assert float(apply("slerp", None, units, t=t).norm()) == pytest.approx(1.0, abs=1e-4)


@some
@given(seed=seeds, t=st.floats(0, 1))
def test_slerp_has_its_ends_and_is_a_line_between_parallel_tensors(seed: int, t: float) -> None:
    _, (one, other) = models(seed, 2, 12)
    assert torch.equal(apply("slerp", None, [one, other], t=0.0).float(), one)
    assert torch.equal(apply("slerp", None, [one, other], t=1.0).float(), other)
    close(apply("slerp", None, [one, 3 * one], t=t), one * (1 + 2 * t))
    close(apply("slerp", None, [one, torch.zeros(12)], t=t), one * (1 - t))
