"""A merged model on disk: safetensors shards written tensor by tensor, their index, and last a manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from trainers.merging.apply import How
from trainers.merging.plan import Plan
from trainers.merging.sources import INDEX, SINGLE, Header, Source
from trainers.merging.stream import merge
from trainers.tensors import bytes_of, header

MANIFEST = "merge.json"
SHARD_BYTES = 5_000_000_000
READ_BYTES = 1 << 20


class Shards:
    """A sink that writes model-00001-of-0000N.safetensors, or model.safetensors if one shard is enough.

    Every file is written aside and renamed when it is whole; a header comes first, so no shard is ever in memory.
    folder: made if need be; files of those names are replaced. shard_bytes: a shard holds more only if one tensor does.
    """

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self._folder, self._limit = folder, shard_bytes
        self._starts: dict[str, tuple[Path, bytes]] = {}  # first tensor of a shard -> its file and header
        self._ends: set[str] = set()
        self._index: dict[str, str] = {}
        self._stream: IO[bytes] | None = None
        self._path = folder

    def order(self, result: Mapping[str, Header]) -> list[str]:
        """Shard by shard as the tensors come, in a shard as safetensors wants them."""
        groups = _groups(result, self._limit)
        wanted: list[str] = []
        for number, group in enumerate(groups, start=1):
            file = SINGLE if len(groups) == 1 else f"model-{number:05}-of-{len(groups):05}.safetensors"
            start, names = header({name: result[name].like() for name in group}, {"format": "pt"})
            self._starts[names[0]] = self._folder / file, start
            self._ends.add(names[-1])
            self._index.update(dict.fromkeys(names, file))
            wanted.extend(names)
        self._folder.mkdir(parents=True, exist_ok=True)
        return wanted

    def put(self, name: str, tensor: Tensor) -> None:
        if name in self._starts:
            self._path, start = self._starts[name]
            self._stream = _aside(self._path).open("wb")
            self._stream.write(start)
        assert self._stream is not None, f"{name} comes before the first tensor of its shard"
        self._stream.write(bytes_of(tensor))
        if name in self._ends:
            _finish(self._stream, self._path)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self._folder / file for file in dict.fromkeys(self._index.values()))

    def write_index(self, total_bytes: int) -> None:
        """Nothing where there is one shard only: then no index is needed."""
        if len(self.files) > 1:
            index = {"metadata": {"total_size": total_bytes}, "weight_map": self._index}
            _write_json(self._folder / INDEX, index)


def merge_to_folder(plan: Plan, folder: Path, shard_bytes: int = SHARD_BYTES) -> Mapping[str, Any]:
    """Merges into a folder, and describes it in `merge.json` there, which is returned; a folder without is unfinished.

    Cost: reads every source once more than the merge does, for its SHA-256.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    sink = Shards(folder, shard_bytes)
    made = merge(plan, sink)
    sink.write_index(sum(entry.like().nbytes for entry in plan.result.values()))
    manifest = describe(plan, made) | {"files": [_file(path) for path in sink.files]}
    _write_json(folder / MANIFEST, manifest)
    return manifest


def describe(plan: Plan, made: Mapping[str, How]) -> dict[str, Any]:
    """The manifest: what was merged from what, and how each tensor came about."""
    return {
        "method": plan.method.name,
        "published": plan.method.source,
        "options": dict(plan.options),
        "base": None if plan.base is None else _source(plan.base),
        "sources": [_source(source) for source in plan.sources],
        "tensors": {name: str(how) for name, how in made.items()},
    }


def sha256_of(path: Path) -> str:
    """Of a file's bytes, as 64 hex digits. Cost: 0.5 s a GB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _source(source: Source) -> dict[str, Any]:
    return {"name": source.name, "files": [_file(path) for path in source.files]}


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _groups(result: Mapping[str, Header], limit: int) -> Sequence[Sequence[str]]:
    groups: list[list[str]] = []
    filled = limit
    for name, entry in result.items():
        size = entry.like().nbytes
        if filled + size > limit or not groups:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += size
    return groups


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _finish(stream: IO[bytes], path: Path) -> None:
    stream.flush()
    os.fsync(stream.fileno())
    stream.close()
    _aside(path).replace(path)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    stream = _aside(path).open("wb")
    stream.write(json.dumps(content, indent=1).encode())
    _finish(stream, path)
