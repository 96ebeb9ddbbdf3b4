"""Snapshots of the core's state, so that a resume need not read the journal from its beginning."""

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from orchestrator.journal.durable import write_durably
from orchestrator.journal.records import Snapshot
from orchestrator.protocols import Journal
from orchestrator.records import Json

_FORMAT = 1
_SNAPSHOT = re.compile(r"snapshot-(\d{9,})\.json")
_KEPT = 3  # the newest is in the journal only after its `save`, so two that are
_log = structlog.get_logger()


class Point(NamedTuple):
    """Where a resume can begin: with `state`, after `wakes` wakes, by reading the journal from position `since`.

    state: None, and the two numbers 0, for the beginning.
    """

    since: int
    wakes: int
    state: Mapping[str, Any] | None


_BEGINNING = Point(0, 0, None)


class Snapshots:
    """The snapshots of one run: a JSON file each, in a folder that must be there.

    A file counts once the journal has a Snapshot record with its name and checksum; until then it is one that an
    engine did not live to finish. NaN and infinities are written as Python's json does.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, wakes: int, state: Json) -> Snapshot:
        """Writes a state durably, and returns the record that the caller appends to the journal at once.

        The two before it are kept; older ones are deleted, and those that claim more wakes. Raises OSError.
        Cost: 20 ms a MB of JSON, and two syncs.
        """
        file = self._folder / f"snapshot-{wakes:09d}.json"
        data = json.dumps({"format": _FORMAT, "wakes": wakes, "state": state}, separators=(",", ":")).encode()
        write_durably(file, [data])
        for number, later in self._files():
            if number > wakes:  # of a journal that has lost its end since
                later.unlink()
        for _, old in self._files()[:-_KEPT]:
            old.unlink()
        return Snapshot(wakes, file.name, sha256(data).hexdigest())

    def points(self, journal: Journal) -> Iterator[Point]:
        """Where to resume, best first: the newest good snapshot, the one before it, and at last the beginning.

        A snapshot that is not as it was written is reported as a warning and passed over. The beginning always comes;
        whether the journal still reaches back to it shows when it is read (JournalDamaged).
        """
        for wakes, file in reversed(self._files()):
            data = file.read_bytes()
            recorded = _recorded(journal, wakes, file.name)
            if not recorded:
                continue
            since = recorded.get(sha256(data).hexdigest())
            if since is None:
                _log.warning("snapshot_passed_over", file=str(file), reason="it fails its checksum")
                continue
            content = json.loads(data)
            if content["format"] != _FORMAT:
                _log.warning("snapshot_passed_over", file=str(file), reason=f"it has format {content['format']}")
                continue
            yield Point(since, wakes, content["state"])
        yield _BEGINNING

    def needed_since(self) -> int:
        """The journal's records before this position may be forgotten: every snapshot that is kept comes after them."""
        files = self._files()
        return files[0][0] if len(files) == _KEPT else 0

    def _files(self) -> list[tuple[int, Path]]:
        """Wakes and path of each file, oldest first."""
        return sorted(
            (int(match[1]), path) for path in self._folder.iterdir() if (match := _SNAPSHOT.fullmatch(path.name))
        )


def _recorded(journal: Journal, wakes: int, file: str) -> dict[str, int]:
    """For each checksum that the journal has for this file, the position after that record.

    A record that follows n wakes has a position of n at least, so nothing before that is read.
    """
    return {
        record.sha256: position + 1
        for position, record in enumerate(journal.records(since=wakes), start=wakes)
        if isinstance(record, Snapshot) and record.file == file
    }
