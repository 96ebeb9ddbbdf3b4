"""What is said comes over whole, or not at all."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.records import Row
from orchestrator.tracking.entries import Entry
from orchestrator.tracking.final import Child, Final, ModelFiles
from orchestrator.tracking.messages import (
    Entries,
    Goodbye,
    Hello,
    Message,
    Report,
    frame,
    parse,
    read_frame,
)
from tests.support.tracking import closed_round

MODEL = ModelFiles(Path("w"), "a:B", {"width": [1, 2]}, Path("e"))
CHILD = Child("trial-1", "first", {"lr": "0.1"}, [("loss", float("inf"), 3)], 1.0, 2.5, MODEL)
SAID: list[Message] = [
    Hello(b"\x01", Path("/runs/r-1"), "sqlite:///m.db", "x", False),
    Entries([Entry(1.5, [Row(1, {"loss": float("inf")})], [closed_round(1, 0.0, 1.5)], 4, 3)]),
    Goodbye(Final("done", {"accuracy": 0.9}, MODEL, Path("r"), [CHILD], "clothes", {"a": "b"}), 30.0),
    Report(["the model (gone)"], ""),
]


@pytest.mark.parametrize("message", SAID)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert parse(read_frame(io.BytesIO(frame(message)))) == message


@given(st.integers(0, sum(len(frame(message)) for message in SAID)))
def test_a_line_cut_anywhere_ends_after_its_last_whole_message(length: int) -> None:
    line = b"".join(map(frame, SAID))
    stream = io.BytesIO(line[:length])
    heard = list(iter(lambda: read_frame(stream), b""))
    assert [parse(body) for body in heard] == SAID[: len(heard)]
    assert length == len(line) or len(heard) < len(SAID)
