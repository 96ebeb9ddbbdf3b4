"""The blocks of an epoch are a partition of it, whoever computes them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.blocks import block_of, blocks_per_epoch, permutation
from trainers.errors import BlockMissing

samples_ = st.integers(1, 300)
batch_sizes = st.integers(1, 70)
seeds = st.integers(0, 2**63 - 1)


@given(samples_, batch_sizes, seeds, st.integers(0, 1000))
def test_the_blocks_of_an_epoch_hold_each_sample_once(samples: int, batch_size: int, seed: int, epoch: int) -> None:
    order = permutation(samples, seed, epoch)
    blocks = [block_of(order, block, batch_size) for block in range(blocks_per_epoch(samples, batch_size))]
    assert sorted(torch.cat(blocks).tolist()) == list(range(samples))
    assert {len(block) for block in blocks[:-1]} <= {batch_size}
    assert 1 <= len(blocks[-1]) <= batch_size


@given(samples_, batch_sizes, seeds)
def test_there_is_no_block_after_the_last(samples: int, batch_size: int, seed: int) -> None:
    with pytest.raises(BlockMissing):
        block_of(permutation(samples, seed, 0), blocks_per_epoch(samples, batch_size), batch_size)


@given(seeds, st.integers(0, 1000))
def test_an_epochs_order_depends_on_seed_and_epoch_alone(seed: int, epoch: int) -> None:
    order = permutation(50, seed, epoch).clone()
    torch.rand(3)
    permutation.cache_clear()
    assert torch.equal(permutation(50, seed, epoch), order)
    assert not torch.equal(permutation(50, seed, epoch + 1), order)


def test_the_order_of_a_seed_never_changes() -> None:
    """A journal names blocks by number: another order here, and old runs cannot be replayed."""
    assert permutation(10, 0, 0).tolist() == [1, 5, 3, 2, 8, 4, 6, 0, 9, 7]
