"""Records to bytes and back: nothing is lost, nothing is turned into something like it."""

import math
import struct

import msgspec
import pytest
from hypothesis import given

from orchestrator.journal.codec import decode, encode
from orchestrator.journal.records import Record
from orchestrator.records import Cause, Left, Ref, Result, Wake
from tests.support.records import records


@given(records)
def test_any_record_comes_back_as_it_was(record: Record) -> None:
    back = decode(encode(record))
    assert type(back) is type(record)
    assert repr(back) == repr(record)  # equal, of equal types, NaN included


def test_the_bits_of_a_nan_survive() -> None:
    (signalling,) = struct.unpack("<d", bytes.fromhex("efbeadde0000f4ff"))
    back = decode(encode(Wake(signalling, ())))
    assert isinstance(back, Wake)
    assert math.isnan(back.now_s)
    assert struct.pack("<d", back.now_s) == struct.pack("<d", signalling)


def test_an_int_metric_does_not_become_a_float() -> None:
    back = decode(encode(Wake(0, (Result(0, 1, "w", {}, {"samples": 64, "accepted": True}, 0, 0),))))
    assert repr(back).count("64.0") == 0
    assert "True" in repr(back)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        msgspec.msgpack.encode((99, ())),
        msgspec.msgpack.encode((-1, ())),
        msgspec.msgpack.encode((0, (0.0, [(7, ())]))),
        msgspec.msgpack.encode((0, (0.0, [(2, ("w", "no such cause"))]))),
        encode(Wake(0.0, (Left("w", Cause.TIMEOUT),)))[:-1],
    ],
)
def test_bytes_of_another_kind_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


def test_a_no_op_item_takes_48_bytes_and_its_frame_12_more() -> None:
    item = Wake(12.5, (Result(123456, 1, "w12", {}, {}, 0.0, 12.25),))
    assert len(encode(item)) <= 48


def test_a_step_of_eight_workers_takes_less_than_a_kilobyte() -> None:
    results = (
        Result(n, 1, f"w{n}", {"gradient": Ref(f"{n}.gradient")}, {"loss": 0.3, "norm2": 1.2, "samples": 64}, 0.1, 9.5)
        for n in range(1000, 1008)
    )
    assert len(encode(Wake(12.5, tuple(results)))) < 1000
