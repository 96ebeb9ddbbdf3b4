"""Encoding: what goes in comes out bit for bit, safetensors agrees, and damage is told."""

from __future__ import annotations

import json
import struct
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from trainers import decode, encode, fingerprint
from trainers.errors import ValueDamaged

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def tensor_of(dtype: torch.dtype, shape: list[int], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    size = torch.Size(shape).numel() * dtype.itemsize
    return torch.randint(0, 256, (size,), generator=generator, dtype=torch.uint8).view(dtype).view(shape)  # NaNs too


shapes = st.lists(st.integers(0, 4), max_size=3)
tensors = st.builds(tensor_of, st.sampled_from(DTYPES), shapes, st.integers(0, 1000))
values = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), tensors, max_size=5).filter(
    lambda value: "__metadata__" not in value
)


def encoded(value: dict[str, Tensor]) -> bytes:
    return b"".join(encode(value))


@given(values)
def test_what_goes_in_comes_out_bit_for_bit(value: dict[str, Tensor]) -> None:
    back = decode(encoded(value))
    assert back.keys() == value.keys()
    assert fingerprint(back) == fingerprint(value)


@given(values)
def test_safetensors_reads_what_we_write_and_we_read_what_it_writes(value: dict[str, Tensor]) -> None:
    assert fingerprint(load(encoded(value))) == fingerprint(value)
    assert fingerprint(decode(save(value))) == fingerprint(value)


@given(values)
def test_equal_tensors_give_equal_bytes_whatever_their_order(value: dict[str, Tensor]) -> None:
    assert encoded(dict(reversed(value.items()))) == encoded(value)


@given(values, st.data())
def test_a_shortened_value_is_damaged(value: dict[str, Tensor], data: st.DataObject) -> None:
    whole = encoded(value)
    with pytest.raises(ValueDamaged):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(values, st.data())
def test_any_other_bytes_decode_or_are_damaged_and_nothing_else_happens(
    value: dict[str, Tensor], data: st.DataObject
) -> None:
    damaged = bytearray(encoded(value))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueDamaged):
        decode(damaged)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}},
        {"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 0]}},
        {"a": {"shape": [1]}},
    ],
    ids=["a list", "a hole", "too few", "a negative size", "beyond the end", "no such dtype", "no bytes", "no offsets"],
)
def test_a_header_that_lies_is_damage(header: object) -> None:
    text = json.dumps(header).encode()
    with pytest.raises(ValueDamaged):
        decode(struct.pack("<Q", len(text)) + text + bytes(8))


def test_decoding_copies_nothing() -> None:
    buffer = bytearray(encoded({"a": torch.zeros(3)}))
    tensor = decode(buffer)["a"]
    buffer[-4:] = struct.pack("<f", 7.0)
    assert tensor.tolist() == [0, 0, 7]


def test_encoding_copies_nothing() -> None:
    tensor = torch.zeros(3)
    _, part = encode({"a": tensor})
    tensor[0] = 7
    assert bytes(part[:4]) == struct.pack("<f", 7.0)


def test_tensors_are_aligned_to_their_elements() -> None:
    value = {"a": torch.ones(3, dtype=torch.int8), "b": torch.ones(1, dtype=torch.float64), "c": torch.ones(3)}
    header, *_ = encode(value)
    assert len(header) % 64 == 0
    buffer = bytearray(encoded(value))
    start = torch.frombuffer(buffer, dtype=torch.uint8).data_ptr()
    for tensor in decode(buffer).values():
        assert (tensor.data_ptr() - start) % tensor.element_size() == 0


def test_a_tensor_that_is_not_contiguous_is_stored_as_it_looks() -> None:
    value = {"a": torch.arange(6).view(2, 3).T}
    assert torch.equal(decode(encoded(value))["a"], value["a"])


def test_a_dtype_that_cannot_be_stored_is_named() -> None:
    with pytest.raises(TypeError, match=r"'a' has dtype torch\.complex64"):
        encode({"a": torch.zeros(1, dtype=torch.complex64)})


@pytest.mark.parametrize(
    "other",
    [
        {"b": torch.zeros(2)},
        {"a": torch.zeros(2, 1)},
        {"a": torch.zeros(2, dtype=torch.int32)},
        {"a": torch.tensor([0.0, -0.0])},
        {},
    ],
    ids=["name", "shape", "dtype", "sign of zero", "nothing"],
)
def test_the_fingerprint_sees_every_difference(other: dict[str, Tensor]) -> None:
    assert fingerprint(other) != fingerprint({"a": torch.zeros(2)})
