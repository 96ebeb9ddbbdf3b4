"""A journal's closed segments and snapshots, copied to where they outlive the disk, and fetched back from there."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import structlog

from orchestrator.errors import CopyConflict, JournalDamaged
from orchestrator.journal.durable import write_durably
from orchestrator.storage import Storage

_MANIFEST = "manifest.json"
_FILE = re.compile(r"(segment|snapshot)-(\d+)\.(?:log\.gz|json)")
_log = structlog.get_logger()


class _Copied(NamedTuple):
    """One file as the manifest has it."""

    size_bytes: int
    sha256: str


class JournalCopy:
    """The copy of one run's journal, in a storage that holds nothing else.

    The manifest is written last, and only what it names and what has its checksum counts: anything else was being
    written when something died. Used from one thread at a time, which need not be the engine's, since it touches only
    files that do not change any more.

    segments, snapshots: the folders of the run.
    """

    def __init__(self, storage: Storage, segments: Path, snapshots: Path) -> None:
        self._storage = storage
        self._folders = {"segment": segments, "snapshot": snapshots}
        self._seen: dict[str, _Copied] = {}  # files of ours that were read once, and need not be again

    def copy(self) -> None:
        """Copies what is closed here and not there; deletes there what was forgotten here and has newer files after it.

        Raises:
            CopyConflict: another journal is there. OSError: of either side. The copy is then as good as it was, and
            the next call goes on.
        Cost: one small read, and what is new; the first call reads all that is closed.
        """
        there = self._manifest_or_nothing()
        here = self._here()
        self._require_ours(here, there)
        now = {name: copied for name, copied in there.items() if name in here or not _forgotten(name, here)}
        for name, path in here.items():
            copied = self._described(name, path)
            if there.get(name) != copied:
                self._storage.write(name, [path.read_bytes()])
                now[name] = copied
        if now != there:
            self._write_manifest(now)
        for name in there.keys() - now.keys():
            self._storage.remove(name)

    def restore(self) -> tuple[str, ...]:
        """Fetches the copy into the run's folders, which it makes; they should be empty.

        The journal ends before the first segment that is missing or damaged, and what could not be had is no part of
        the copy any more: the run goes on from here. Returns a sentence for each such file.

        Raises:
            JournalDamaged: there is no copy, or its manifest cannot be read. OSError: of either side.
        """
        manifest = self._manifest()
        for folder in self._folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        lost: dict[str, str] = {}
        whole = True
        for name in sorted(manifest, key=_kind_and_number):
            kind, _ = _kind_and_number(name)
            data = self._fetch(name, manifest[name])
            if data is None:
                lost[name] = f"{name} is missing or fails its checksum"
                whole = whole and kind != "segment"
            elif kind == "segment" and not whole:
                lost[name] = f"{name} comes after a segment that is lost"
            else:
                write_durably(self._folders[kind] / name, [data])
        if lost:
            self._write_manifest({name: copied for name, copied in manifest.items() if name not in lost})
        return tuple(lost.values())

    def _here(self) -> dict[str, Path]:
        return {
            path.name: path
            for kind, folder in self._folders.items()
            for path in sorted(folder.iterdir())
            if (match := _FILE.fullmatch(path.name)) and match[1] == kind
        }

    def _require_ours(self, here: Mapping[str, Path], there: Mapping[str, _Copied]) -> None:
        """A segment never changes. A snapshot may be taken again, by an engine that took over."""
        for name, path in here.items():
            if name in there and _kind_and_number(name)[0] == "segment" and self._described(name, path) != there[name]:
                raise CopyConflict(name)

    def _described(self, name: str, path: Path) -> _Copied:
        if name not in self._seen:
            self._seen[name] = _describe(path.read_bytes())
        return self._seen[name]

    def _fetch(self, name: str, copied: _Copied) -> memoryview | None:
        """A file's bytes, if they are there and as they were written."""
        try:
            data = self._storage.read(name)
        except FileNotFoundError:
            return None
        return data if _describe(data) == copied else None

    def _write_manifest(self, files: Mapping[str, _Copied]) -> None:
        self._storage.write(_MANIFEST, [json.dumps({"format": 1, "files": files}).encode()])

    def _manifest(self) -> dict[str, _Copied]:
        try:
            content = json.loads(bytes(self._storage.read(_MANIFEST)))
            return {name: _Copied(*copied) for name, copied in content["files"].items()}
        except FileNotFoundError:
            raise JournalDamaged(_MANIFEST, 0, "the storage holds no copy of this journal") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise JournalDamaged(_MANIFEST, 0, f"the manifest of the copy cannot be read ({error})") from None

    def _manifest_or_nothing(self) -> dict[str, _Copied]:
        """A manifest that cannot be read is written anew, with everything that is here."""
        try:
            return self._manifest()
        except JournalDamaged as damaged:
            _log.info("journal_copied_whole", reason=damaged.reason)
            return {}


def _describe(data: bytes | memoryview) -> _Copied:
    return _Copied(len(data), sha256(data).hexdigest())


def _kind_and_number(name: str) -> tuple[str, int]:
    match = _FILE.fullmatch(name)
    return (match[1], int(match[2])) if match else ("", 0)


def _forgotten(name: str, here: Mapping[str, Path]) -> bool:
    """Not here, though a newer one of its kind is: without one, it is this folder that lost something."""
    kind, number = _kind_and_number(name)
    return any(other_kind == kind and other > number for other_kind, other in map(_kind_and_number, here))
