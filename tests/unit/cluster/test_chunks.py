"""A value comes back from its chunks as it was, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.sessions.chunks import CHUNK_BYTES, Damaged, Joiner, split
from cluster.sessions.transport import MESSAGE_BYTES
from protos.ripieno_pb2 import Chunk, ToWorker

VALUE = bytes(number % 251 for number in range(2 * CHUNK_BYTES + 5))


def joined(joiner: Joiner, chunks: list[Chunk]) -> list[tuple[str, bytes]]:
    return [whole for chunk in chunks if (whole := joiner.add(chunk)) is not None]


@given(st.integers(0, 2 * CHUNK_BYTES + 2))
def test_whatever_its_size_a_value_comes_back_once_and_whole(size_bytes: int) -> None:
    value = VALUE[:size_bytes]
    assert joined(Joiner(), list(split("1.out", memoryview(value)))) == [("1.out", value)]


def test_every_chunk_fits_into_a_message() -> None:
    for chunk in split("9" * 255, memoryview(VALUE)):
        assert ToWorker(epoch=2**63, chunk=chunk).ByteSize() <= MESSAGE_BYTES // 2


@given(st.integers(0, 2), st.integers(0, 7), st.data())
def test_one_changed_bit_damages_the_value_and_not_the_next(part: int, bit: int, data: st.DataObject) -> None:
    chunks = list(split("1.out", memoryview(VALUE)))
    at = data.draw(st.integers(0, len(chunks[part].data) - 1))
    changed = bytearray(chunks[part].data)
    changed[at] ^= 1 << bit
    chunks[part].data = bytes(changed)
    joiner = Joiner()
    with pytest.raises(Damaged, match=r"value 1\.out arrived damaged: the bytes from \d+ on fail their checksum"):
        joined(joiner, chunks)
    for rest in chunks[part + 1 :]:
        with pytest.raises(Damaged):
            joiner.add(rest)
    assert joined(joiner, list(split("2.out", memoryview(b"next")))) == [("2.out", b"next")]


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 1, 1], [0, 0, 2]])
def test_lost_repeated_and_swapped_chunks_are_noticed(order: list[int]) -> None:
    chunks = list(split("1.out", memoryview(VALUE)))
    with pytest.raises(Damaged, match="came when byte"):
        joined(Joiner(), [chunks[part] for part in order])


def test_a_value_that_begins_again_is_taken_from_its_beginning() -> None:
    chunks = list(split("1.out", memoryview(VALUE)))
    assert joined(Joiner(), [*chunks[:2], *chunks]) == [("1.out", VALUE)]


def test_a_value_cannot_grow_beyond_what_its_first_chunk_announced() -> None:
    first, second, *_ = split("1.out", memoryview(VALUE))
    second.size_bytes += CHUNK_BYTES
    joiner = Joiner()
    assert joiner.add(first) is None
    with pytest.raises(Damaged, match=rf"{len(VALUE)} bytes were announced, and then {len(VALUE) + CHUNK_BYTES}"):
        joiner.add(second)
