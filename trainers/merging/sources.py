"""What a merge reads: names, shapes and dtypes at once, and one tensor at a time."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from trainers.errors import ValueDamaged
from trainers.flat import PARAMETERS, Layout
from trainers.merging.errors import SourceInvalid
from trainers.tensors import Tensors, decode

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class Header(NamedTuple):
    """What a tensor is, without its numbers."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    def like(self) -> Tensor:
        """One on torch's device "meta": it has a size, and no numbers."""
        return torch.empty(self.shape, dtype=self.dtype, device="meta")


class Source(Protocol):
    """A model's tensors by name."""

    @property
    def name(self) -> str:
        """As the user wrote it; errors use it."""

    @property
    def headers(self) -> Mapping[str, Header]:
        """Of all its tensors; costs no reading of their numbers."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What it lies in; none, if in memory."""

    def tensor(self, name: str) -> Tensor:
        """On the CPU, not to be written to."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """A state_dict-style value."""

    name: str
    tensors: Tensors

    @property
    def headers(self) -> Mapping[str, Header]:
        return _headers(self.tensors)

    @property
    def files(self) -> tuple[Path, ...]:
        return ()

    def tensor(self, name: str) -> Tensor:
        return self.tensors[name]


class OneFile:
    """A .safetensors file. Its tensors are copied out of a memory map one by one, which keeps no page of it.

    Raises:
        SourceInvalid: it cannot be read, or is no such file.
    """

    def __init__(self, name: str, path: Path) -> None:
        self._name, self._path = name, path
        try:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            self._views = decode(memoryview(self._map))
        except (OSError, ValueError, ValueDamaged) as error:
            raise SourceInvalid(name, f"{path} is no safetensors file ({error})") from error

    @property
    def name(self) -> str:
        return self._name

    @property
    def headers(self) -> Mapping[str, Header]:
        return _headers(self._views)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self._path,)

    def tensor(self, name: str) -> Tensor:
        copy = self._views[name].clone()
        self._map.madvise(mmap.MADV_DONTNEED)
        return copy


class Folder:
    """A folder with a model.safetensors, or with an index and the shards that it names.

    Raises:
        SourceInvalid: neither is there, or the index names a file or a tensor that is not there.
    """

    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._shards: dict[Path, OneFile] = {}
        self._place: dict[str, OneFile] = {}
        for tensor, file in _weight_map(name, path).items():
            shard = self._shards.get(file)
            if shard is None:
                shard = self._shards[file] = OneFile(name, file)
            if tensor not in shard.headers:
                raise SourceInvalid(name, f"{INDEX} places tensor {tensor!r} in {file.name}, which does not have it")
            self._place[tensor] = shard

    @property
    def name(self) -> str:
        return self._name

    @property
    def headers(self) -> Mapping[str, Header]:
        return {tensor: shard.headers[tensor] for tensor, shard in self._place.items()}

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self._shards)

    def tensor(self, name: str) -> Tensor:
        return self._place[name].tensor(name)


def open_source(name: str, path: Path) -> Source:
    """A file or a folder. Raises SourceInvalid."""
    return Folder(name, path) if path.is_dir() else OneFile(name, path)


def of_model(name: str, layout: Layout, value: Tensors) -> InMemory:
    """A model's value, flat or state_dict-style, as its distinct tensors: tied ones once, under their first name.

    Raises:
        WeightsMismatch: it is another model's.
    """
    flat = value if PARAMETERS in value else layout.flattened(value)
    return InMemory(name, layout.distinct(flat))


def _headers(tensors: Tensors) -> Mapping[str, Header]:
    return {name: Header(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def _weight_map(name: str, folder: Path) -> Mapping[str, Path]:
    index = folder / INDEX
    if not index.exists():
        if not (folder / SINGLE).exists():
            raise SourceInvalid(name, f"{folder} holds neither {INDEX} nor {SINGLE}")
        single = OneFile(name, folder / SINGLE)
        return dict.fromkeys(single.headers, folder / SINGLE)
    try:
        places = json.loads(index.read_bytes())["weight_map"]
        files = {str(tensor): folder / Path(str(file)).name for tensor, file in places.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceInvalid(name, f"{index} is no index of shards ({error!r})") from error
    if not files:
        raise SourceInvalid(name, f"{index} names no tensor")
    return files
