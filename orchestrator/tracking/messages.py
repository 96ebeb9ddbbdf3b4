"""What the engine and its writer process say to each other: MessagePack frames, each after its length."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import msgspec

from orchestrator.tracking.entries import Entry
from orchestrator.tracking.final import Final
from orchestrator.tracking.points import Point
from orchestrator.tracking.wire import from_wire, to_wire

_LENGTH = struct.Struct("!I")


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message.

    started: the journal's first record, encoded as there. folder: of the run. catching_up: ask what MLflow has first.
    parent: folder of the run that this one is nested in.
    """

    started: bytes
    folder: Path
    uri: str
    experiment: str
    catching_up: bool
    parent: Path | None = None


class Entries(msgspec.Struct, frozen=True, tag=True):
    """Some of the record, in order."""

    entries: list[Entry]


class Looked(msgspec.Struct, frozen=True, tag=True):
    """What the writer's own look at its machine came to."""

    points: list[Point]


class Goodbye(msgspec.Struct, frozen=True, tag=True):
    """The last message. timeout_s: for all that is left."""

    final: Final
    timeout_s: float


class Report(msgspec.Struct, frozen=True, tag=True):
    """The writer's only answer. missing: what MLflow has not got and why, a phrase each. remark: a sentence, or ""."""

    missing: list[str]
    remark: str


Message = Hello | Entries | Looked | Goodbye | Report


_encoder = msgspec.msgpack.Encoder(enc_hook=to_wire)
_decoder = msgspec.msgpack.Decoder(Message, dec_hook=from_wire)


def frame(message: Message) -> bytes:
    """Its bytes, length first."""
    body = unframed(message)
    return _LENGTH.pack(len(body)) + body


def unframed(message: Message) -> bytes:
    """For `parse`."""
    return _encoder.encode(message)


def read_frame(stream: BinaryIO) -> bytes:
    """The next frame without its length; b"" when the other side is gone, in mid-frame too."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    return body if len(body) == length else b""


def parse(body: bytes) -> Message:
    message: Message = _decoder.decode(body)
    return message
