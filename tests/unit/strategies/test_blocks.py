"""Blocks of data are used once an epoch, whatever the workers do."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.strategies.blocks import Blocks


@given(per_epoch=st.integers(1, 20), seed=st.integers(0, 2**32), workers=st.integers(1, 8))
def test_every_block_is_used_exactly_once_however_rounds_close(per_epoch: int, seed: int, workers: int) -> None:
    random = Random(seed)
    blocks = Blocks(per_epoch)
    used: list[int] = []
    work_id = 0
    total = 2 * per_epoch
    while not blocks.all_used(total):
        out = {}
        for _ in range(workers):
            out[work_id] = blocks.take(work_id)
            work_id += 1
        lost = [work for work in out if random.random() < 0.2]
        for work in lost:
            assert blocks.give_back(work) == out.pop(work)
        counted = random.sample(sorted(out), random.randint(0, len(out)))
        blocks.use(counted)
        used += [out[work] for work in counted]
    assert len(used) == len(set(used)) == blocks.used
    assert set(range(total)) <= set(used)
    assert blocks.out == {}


@given(per_epoch=st.integers(1, 50))
def test_blocks_are_handed_out_lowest_first(per_epoch: int) -> None:
    blocks = Blocks(per_epoch)
    assert [blocks.take(work) for work in range(5)] == [0, 1, 2, 3, 4]
    blocks.use([3, 1])
    assert [blocks.take(work) for work in range(5, 9)] == [0, 2, 4, 5]


@given(blocks=st.integers(1, 100_000), per_epoch=st.integers(1, 1000), times=st.integers(1, 100))
def test_epochs_that_end_on_a_block_have_no_block_more(blocks: int, per_epoch: int, times: int) -> None:
    assert Blocks(per_epoch).in_epochs(blocks / per_epoch) == blocks
    assert Blocks(per_epoch).in_epochs(times * (blocks / per_epoch)) == times * blocks


@given(per_epoch=st.integers(1, 1000), whole=st.integers(0, 100), part=st.floats(0.01, 0.99))
def test_a_block_that_epochs_end_in_is_one_of_theirs(per_epoch: int, whole: int, part: float) -> None:
    assert Blocks(per_epoch).in_epochs((whole + part) / per_epoch) == whole + 1


def test_the_order_of_use_is_in_the_hash() -> None:
    one, other = Blocks(4), Blocks(4)
    for blocks, order in ((one, [0, 1]), (other, [1, 0])):
        for work in (0, 1):
            blocks.take(work)
        blocks.use(order)
    assert one.order != other.order
    assert len(one.order) == 64


def test_blocks_still_out_count_as_unused() -> None:
    blocks = Blocks(2)
    blocks.take(0)
    blocks.take(1)
    blocks.take(2)
    assert not blocks.all_used(2)
    blocks.use([1, 2])
    assert not blocks.all_used(2)
    blocks.take(3)
    blocks.use([3])
    assert blocks.all_used(3)
