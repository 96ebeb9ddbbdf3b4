"""What the engine and its writer process say to each other: MessagePack frames, each after its length."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from orchestrator.tracking.entries import Entry
from orchestrator.tracking.final import Final

_LENGTH = struct.Struct("!I")


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message.

    started: the journal's first record, encoded as there. folder: of the run. catching_up: ask what MLflow has first.
    """

    started: bytes
    folder: Path
    uri: str
    experiment: str
    catching_up: bool


class Entries(msgspec.Struct, frozen=True, tag=True):
    """Some of the record, in order."""

    entries: list[Entry]


class Goodbye(msgspec.Struct, frozen=True, tag=True):
    """The last message. timeout_s: for all that is left."""

    final: Final
    timeout_s: float


class Report(msgspec.Struct, frozen=True, tag=True):
    """The writer's only answer. missing: what MLflow has not got and why, a phrase each. remark: a sentence, or ""."""

    missing: list[str]
    remark: str


Message = Hello | Entries | Goodbye | Report


def _to_wire(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _from_wire(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_wire)
_decoder = msgspec.msgpack.Decoder(Message, dec_hook=_from_wire)


def frame(message: Message) -> bytes:
    """Its bytes, length first."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


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
