"""What every registered merge method promises; a new one is tested here by being registered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.merging import METHODS, MergeMethod
from trainers.merging.apply import How, merge_tensor
from trainers.merging.errors import MethodNeeds, MethodUnknown, OptionInvalid
from trainers.merging.method import Options
from trainers.merging.methods import method_of

ORDERED = {"slerp"}
"""Methods whose sources have a first and a second."""

GIVES_COPIES_BACK: dict[str, Options] = {
    "uniform": {},
    "slerp": {"t": 0.3},
    "ties": {"density": 1.0},
    "model_stock": {},
}
"""Methods, with the options, whose merge of copies of one model is that model."""

some = settings(max_examples=25, deadline=None)

SHAPES = [(), (1,), (7,), (5, 3), (3, 5), (4, 2, 3, 3)]


@pytest.fixture(params=sorted(METHODS), scope="module")
def method(request: pytest.FixtureRequest) -> MergeMethod:
    return METHODS[request.param]


def versions(
    method: MergeMethod, seed: int, shape: Sequence[int], count: int = 3
) -> tuple[Tensor | None, list[Tensor]]:
    """A base, if the method has one, and as many sources as it takes, of `count` at most."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(list(shape), generator=generator)
    count = max(method.fewest, min(count, method.most or count))
    sources = [base + 0.1 * torch.randn(list(shape), generator=generator) for _ in range(count)]
    return (base if method.needs_base else None), sources


def merged(
    method: MergeMethod, base: Tensor | None, sources: Sequence[Tensor], options: Options | None = None
) -> Tensor:
    return merge_tensor(method, method.options(options or {}), "weight", base, sources)[0]


@some
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES))
def test_the_merge_has_the_shape_and_the_dtype_of_its_versions(
    method: MergeMethod, seed: int, shape: tuple[int, ...]
) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        base, sources = versions(method, seed, shape)
        base, sources = (None if base is None else base.to(dtype)), [source.to(dtype) for source in sources]
        tensor = merged(method, base, sources)
        assert (tuple(tensor.shape), tensor.dtype) == (shape, dtype)
        assert bool(tensor.isfinite().all())


@some
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES))
def test_no_version_is_modified_and_the_merge_shares_no_memory_with_any(
    method: MergeMethod, seed: int, shape: tuple[int, ...]
) -> None:
    base, sources = versions(method, seed, shape)
    before = [tensor.clone() for tensor in sources]
    tensor = merged(method, base, sources)
    assert all(torch.equal(one, other) for one, other in zip(sources, before, strict=True))
    owners = {source.untyped_storage().data_ptr() for source in (*sources, *([] if base is None else [base]))}
    assert tensor.untyped_storage().data_ptr() not in owners or prod(shape) == 0


@some
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES))
def test_equal_inputs_give_equal_bits(method: MergeMethod, seed: int, shape: tuple[int, ...]) -> None:
    base, sources = versions(method, seed, shape)
    assert torch.equal(merged(method, base, sources), merged(method, base, sources))


@some
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES))
def test_the_order_of_the_sources_changes_nothing(method: MergeMethod, seed: int, shape: tuple[int, ...]) -> None:
    if method.name in ORDERED:
        pytest.skip("its sources are ordered")
    base, sources = versions(method, seed, shape)
    first, *others = [merged(method, base, list(order)) for order in permutations(sources)]
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-6, atol=1e-6)


@some
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES))
def test_a_frozen_tensor_comes_through_bit_for_bit(method: MergeMethod, seed: int, shape: tuple[int, ...]) -> None:
    base, sources = versions(method, seed, shape)
    frozen = sources[0]
    tensor, how = merge_tensor(
        method,
        method.options({}),
        "weight",
        None if base is None else frozen.clone(),
        [frozen.clone() for _ in sources],
    )
    assert torch.equal(tensor, frozen)
    assert how is How.ALIKE


@some
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES))
def test_copies_of_one_model_give_it_back_where_the_sheet_says_so(
    method: MergeMethod, seed: int, shape: tuple[int, ...]
) -> None:
    if method.name not in GIVES_COPIES_BACK:
        pytest.skip("it gives N task vectors, or other lengths")
    base, sources = versions(method, seed, shape)
    tensor = merged(method, base, [sources[0].clone() for _ in sources], GIVES_COPIES_BACK[method.name])
    torch.testing.assert_close(tensor, sources[0], rtol=1e-6, atol=1e-7)


@some
@given(seed=st.integers(0, 2**32))
def test_a_low_precision_merge_is_the_float32_one_rounded_once(method: MergeMethod, seed: int) -> None:
    base, sources = versions(method, seed, (6, 5))
    half, halves = (None if base is None else base.bfloat16()), [source.bfloat16() for source in sources]
    wide = merged(method, None if half is None else half.float(), [source.float() for source in halves])
    assert torch.equal(merged(method, half, halves), wide.bfloat16())


def test_integers_are_copied_and_statistics_averaged_whatever_the_method(method: MergeMethod) -> None:
    base, sources = versions(method, 3, (4,))
    counts = [torch.tensor(number) for number in range(len(sources))]
    tensor, how = merge_tensor(method, method.options({}), "n", None if base is None else torch.tensor(9), counts)
    assert (int(tensor), how) == (0 if base is None else 9, How.COPIED)
    variances = [torch.full((4,), float(number)) for number in range(len(sources))]
    start = None if base is None else torch.full((4,), 5.0)
    tensor, how = merge_tensor(method, method.options({}), "bn.running_var", start, variances)
    assert how is How.AVERAGED
    assert torch.allclose(tensor, torch.stack(variances).mean(0))


def test_its_options_have_defaults_that_it_takes(method: MergeMethod) -> None:
    defaults = method.options({})
    assert defaults.keys() == method.schema.keys()
    assert method.options(defaults) == defaults


def test_an_option_that_it_does_not_have_is_refused_by_name(method: MergeMethod) -> None:
    with pytest.raises(OptionInvalid, match=rf"{method.name}\.alhpa: there is no such option"):
        method.options({"alhpa": 1.0})


@pytest.mark.parametrize("value", ["many", float("nan"), float("inf"), None, [0.5], 1e9])
def test_a_value_that_an_option_cannot_take_is_refused(method: MergeMethod, value: object) -> None:
    for option in method.schema:
        with pytest.raises(OptionInvalid, match=rf"{method.name}\.{option}: "):
            method.options({option: value})


def test_it_says_how_many_sources_it_needs(method: MergeMethod) -> None:
    method.require_sources(max(method.fewest, 2), with_base=True)
    with pytest.raises(MethodNeeds, match=rf"{method.name} needs (at least|exactly) "):
        method.require_sources(method.fewest - 1, with_base=True)
    if method.needs_base:
        with pytest.raises(MethodNeeds, match=rf"{method.name} needs a base"):
            method.require_sources(2, with_base=False)


def test_it_says_where_it_is_published(method: MergeMethod) -> None:
    assert method.source.startswith(("arXiv:", "doi:"))


def test_a_misspelt_method_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(MethodUnknown, match="'tise' is not a merge method; did you mean 'ties'"):
        method_of("tise")
