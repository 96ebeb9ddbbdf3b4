"""The copy of a journal: complete, checked, never another journal's, and good enough to resume from."""

from pathlib import Path

import pytest

from orchestrator.errors import CopyConflict, JournalDamaged
from orchestrator.journal.file import FileJournal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.records import Started
from orchestrator.journal.snapshots import Snapshots
from orchestrator.journal.storage import JournalCopy
from orchestrator.records import Wake
from orchestrator.storage import Storage

RUN = "r-7f3"
STARTED = Started(RUN, {}, "", "", None, 0, "")


class Machine:
    """One machine's disk, with an engine that writes the run's journal on it."""

    def __init__(self, disk: Path, storage: Storage) -> None:
        self.segments, snapshots = disk / "journal", disk / "snapshots"
        snapshots.mkdir(parents=True)
        self.segments.mkdir()
        self.snapshots = Snapshots(snapshots)
        self.copy = JournalCopy(storage, self.segments, snapshots)

    def run(self, wakes: int, snapshot_every: int = 5, keep_all: bool = True) -> None:
        journal = FileJournal(self.segments, RUN, segment_bytes=150)
        if journal.position == 0:
            journal.append(STARTED)
        seen = sum(isinstance(record, Wake) for record in journal.records(since=1)) if keep_all else 0
        for number in range(seen + 1, seen + wakes + 1):
            journal.append(Wake(float(number), ()))
            if number % snapshot_every == 0:
                journal.append(self.snapshots.save(number, {"seen": number}))
                if not keep_all:
                    journal.forget(self.snapshots.needed_since())
                journal.close_segment()
                self.copy.copy()
        journal.close()

    def wakes(self) -> list[float]:
        return [record.now_s for record in JournalReader(self.segments).records() if isinstance(record, Wake)]


@pytest.fixture(params=["a folder", "an object store"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage") if request.param == "a folder" else "mock:///")


def names(wakes: int) -> list[float]:
    return [float(number) for number in range(1, wakes + 1)]


def test_another_machine_goes_on_from_the_last_copy(tmp_path: Path, storage: Storage) -> None:
    Machine(tmp_path / "lost", storage).run(wakes=23)
    second = Machine(tmp_path / "second", storage)
    assert second.copy.restore() == ()
    assert second.wakes() == names(20)  # copied at every fifth
    point, *_ = second.snapshots.points(FileJournal(second.segments, RUN))
    assert (point.wakes, point.state) == (20, {"seen": 20})


def test_what_went_on_elsewhere_is_copied_too(tmp_path: Path, storage: Storage) -> None:
    Machine(tmp_path / "first", storage).run(wakes=10)
    second = Machine(tmp_path / "second", storage)
    second.copy.restore()
    second.run(wakes=10)
    third = Machine(tmp_path / "third", storage)
    assert third.copy.restore() == ()
    assert third.wakes() == names(20)


def test_only_what_is_new_is_sent(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "storage"))
    machine = Machine(tmp_path / "disk", storage)
    machine.run(wakes=10)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "storage").iterdir()}
    machine.copy.copy()
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "storage").iterdir()} == before


def test_what_is_forgotten_here_is_deleted_there(tmp_path: Path, storage: Storage) -> None:
    machine = Machine(tmp_path / "disk", storage)
    machine.run(wakes=60, keep_all=False)
    assert len([name for name in storage.names() if name.startswith("snapshot")]) == 3
    second = Machine(tmp_path / "second", storage)
    assert second.copy.restore() == ()
    point, *_ = second.snapshots.points(FileJournal(second.segments, RUN))
    assert point.wakes == 60
    assert len(storage.names()) < 20


def test_a_new_journal_never_replaces_the_one_that_is_there(tmp_path: Path, storage: Storage) -> None:
    Machine(tmp_path / "first", storage).run(wakes=10)
    before = {name: bytes(storage.read(name)) for name in storage.names()}
    forgetful = Machine(tmp_path / "second", storage)
    forgetful.snapshots.save(1, {})
    with pytest.raises(CopyConflict, match=r"ripieno restore` comes before resuming"):
        forgetful.run(wakes=7, snapshot_every=7)
    assert {name: bytes(storage.read(name)) for name in storage.names()} == before


@pytest.mark.parametrize("victim", ["segment-000003.log.gz", "segment-000001.log.gz", "snapshot-000000020.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_copy_is_told_and_left_out(tmp_path: Path, victim: str, damage: str) -> None:
    storage = Storage(str(tmp_path / "storage"))
    Machine(tmp_path / "first", storage).run(wakes=20)
    file = tmp_path / "storage" / victim
    data = file.read_bytes()
    file.write_bytes(data[:5] + bytes([data[5] ^ 1]) + data[6:] if damage == "flipped" else data[: len(data) // 2])
    if damage == "missing":
        file.unlink()
    second = Machine(tmp_path / "second", storage)
    lost = second.copy.restore()
    assert any(sentence.startswith(f"{victim} is missing or fails") for sentence in lost)
    wakes = second.wakes()
    assert wakes == names(len(wakes))
    assert (len(wakes) == 20) == victim.startswith("snapshot")
    second.run(wakes=10)
    third = Machine(tmp_path / "third", storage)
    assert third.copy.restore() == ()
    assert third.wakes() == names(len(wakes) + 10)


def test_a_crash_before_the_manifest_leaves_the_copy_as_it_was(tmp_path: Path, storage: Storage) -> None:
    Machine(tmp_path / "first", storage).run(wakes=10)
    storage.write("segment-000099.log.gz", [b"half a segm"])
    second = Machine(tmp_path / "second", storage)
    assert second.copy.restore() == ()
    assert second.wakes() == names(10)


def test_a_bad_manifest_is_written_anew_by_who_still_has_everything(tmp_path: Path, storage: Storage) -> None:
    machine = Machine(tmp_path / "first", storage)
    machine.run(wakes=10)
    for bad in (b"", b"{", b"[]", b'{"files": 3}', b'{"files": {"a": 1}}'):
        storage.write("manifest.json", [bad])
        with pytest.raises(JournalDamaged, match="manifest"):
            Machine(tmp_path / f"second-{bad.hex()}", storage).copy.restore()
        machine.copy.copy()
        third = Machine(tmp_path / f"third-{bad.hex()}", storage)
        assert third.copy.restore() == ()
        assert third.wakes() == names(10)


def test_without_a_copy_there_is_nothing_to_restore(tmp_path: Path, storage: Storage) -> None:
    with pytest.raises(JournalDamaged, match="no copy"):
        Machine(tmp_path / "disk", storage).copy.restore()
