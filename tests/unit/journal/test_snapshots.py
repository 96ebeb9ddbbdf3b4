"""Snapshots: the newest good one is used, a bad one is passed over, an unfinished one never was."""

import math
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from orchestrator.errors import JournalDamaged
from orchestrator.journal.file import FileJournal
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.records import Started
from orchestrator.journal.snapshots import Point, Snapshots
from orchestrator.records import Wake

STARTED = Started("r-7f3", {}, "", "", None, 0, "")


class Run:
    """A run that takes a snapshot after every ten wakes."""

    def __init__(self, folder: Path, journal: Any) -> None:
        self.folder, self.journal, self.snapshots = folder, journal, Snapshots(folder)
        self.wakes = 0
        journal.append(STARTED)

    def go(self, snapshots: int) -> None:
        for _ in range(snapshots):
            self.ten_wakes()
            self.journal.append(self.snapshots.save(self.wakes, state(self.wakes)))

    def ten_wakes(self) -> None:
        for _ in range(10):
            self.wakes += 1
            self.journal.append(Wake(float(self.wakes), ()))

    def points(self) -> list[Point]:
        return list(self.snapshots.points(self.journal))

    def file(self, wakes: int) -> Path:
        return self.folder / f"snapshot-{wakes:09d}.json"


def state(wakes: int) -> dict[str, Any]:
    return {"seen": wakes, "loss": math.inf, "rates": [0.1, -0.0], "name": "é\ud800"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, MemoryJournal())


def test_without_a_snapshot_there_is_the_beginning(run: Run) -> None:
    run.ten_wakes()
    assert run.points() == [Point(0, 0, None)]


def test_the_newest_comes_first_with_the_position_after_its_record(run: Run) -> None:
    run.go(2)
    run.ten_wakes()
    newest, before, beginning = run.points()
    assert newest == Point(since=1 + 20 + 2, wakes=20, state=state(20))
    assert before == Point(since=1 + 10 + 1, wakes=10, state=state(10))
    assert beginning == Point(0, 0, None)
    assert next(run.journal.records(newest.since)) == Wake(21.0, ())


def test_nan_survives(run: Run) -> None:
    run.journal.append(run.snapshots.save(0, {"loss": math.nan}))
    found = run.points()[0].state
    assert found is not None
    assert math.isnan(found["loss"])


def test_an_unfinished_one_is_as_if_it_had_never_been(run: Run) -> None:
    run.go(1)
    run.ten_wakes()
    run.snapshots.save(run.wakes, state(run.wakes))  # and the engine dies before it appends the record
    with capture_logs() as logs:
        assert [point.wakes for point in run.points()] == [10, 0]
    assert logs == []


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: data.replace(b"2", b"3", 1)])
def test_a_bad_one_is_reported_and_passed_over(run: Run, damage: Any) -> None:
    run.go(2)
    run.file(20).write_bytes(damage(run.file(20).read_bytes()))
    with capture_logs() as logs:
        assert [point.wakes for point in run.points()] == [10, 0]
    assert logs[0]["event"] == "snapshot_passed_over"
    assert logs[0]["file"] == str(run.file(20))
    assert logs[0]["log_level"] == "warning"


def test_two_good_ones_are_there_at_every_instant(run: Run) -> None:
    run.go(2)
    for _ in range(5):
        run.ten_wakes()
        record = run.snapshots.save(run.wakes, state(run.wakes))
        assert len(run.points()) == 3  # two and the beginning, the new one not counted yet
        run.journal.append(record)
    assert len(list(run.folder.iterdir())) == 3


def test_snapshots_that_the_journal_has_lost_make_room_for_new_ones(tmp_path: Path) -> None:
    Run(tmp_path, MemoryJournal()).go(5)
    run = Run(tmp_path, MemoryJournal())  # as after a restore that found only the journal's beginning
    run.go(2)
    assert [point.wakes for point in run.points()] == [20, 10, 0]
    assert sorted(tmp_path.iterdir()) == [run.file(10), run.file(20)]
    run.go(2)
    assert sorted(tmp_path.iterdir()) == [run.file(20), run.file(30), run.file(40)]


def test_what_is_needed_for_the_kept_ones_may_not_be_forgotten(tmp_path: Path) -> None:
    run = Run(tmp_path, FileJournal(tmp_path / "journal", "r-7f3", segment_bytes=100))
    for _ in range(6):
        run.go(1)
        run.journal.forget(run.snapshots.needed_since())
        for point in run.points()[:-1]:
            assert next(iter(run.journal.records(point.since)), None) in (None, Wake(point.wakes + 1.0, ()))
    for wakes in (60, 50, 40):
        run.file(wakes).write_bytes(b"")
    (beginning,) = run.points()
    with pytest.raises(JournalDamaged, match="keep_journal"):
        list(run.journal.records(beginning.since))
    run.journal.close()
