"""What every journal promises, whichever kind."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import JournalDamaged
from orchestrator.journal.file import FileJournal
from orchestrator.journal.memory import MemoryJournal
from orchestrator.journal.records import Ended, Record, Resumed, Snapshot, Started
from orchestrator.records import Cause, Failure, Joined, Left, Ref, Result, Wake

RUN = "r-7f3"
STARTED = Started(RUN, {"train": {"workers": 4}}, "0" * 64, "0.1.0", {"threads": 1}, 0, "2025-11-23T20:00:00Z")


def wake(number: int) -> Wake:
    result = Result(number, 1, "w1", {"gradient": Ref(f"{number}.gradient")}, {"loss": 0.1 * number}, 0.01, 0.5)
    return Wake(float(number), (result,))


class JournalContract:
    """What every Journal promises. A new one subclasses this and supplies `journal`, new and empty.

    `reopened(journal)` is the same journal in the hands of the next engine; override it where that takes more.
    """

    def reopened(self, journal: Any) -> Any:
        return journal

    def test_it_gives_back_what_was_appended_in_order(self, journal: Any) -> None:
        everything: list[Record] = [
            STARTED,
            Wake(0.0, (Joined("w1", 2, "worker", {"zone": "a"}),)),
            Wake(1.5, (wake(0).events[0], Left("w1", Cause.LOST_NODE))),
            Wake(2.0, ()),
            Wake(2.5, (Result(1, 2, "w2", {}, {}, 0.0, 2.4, Failure(Cause.USER_ERROR, "no", "line\nline")),)),
            Snapshot(4, "snapshot-5.json", "f" * 64),
            Resumed(2, None, "2025-11-23T20:01:00Z"),
            Ended("done", "", "a" * 64, "b" * 64),
        ]
        for record in everything:
            journal.append(record)
        assert list(journal.records()) == everything
        assert list(self.reopened(journal).records()) == everything

    def test_floats_come_back_bit_for_bit(self, journal: Any) -> None:
        metrics = {"nan": math.nan, "inf": math.inf, "minus inf": -math.inf, "minus zero": -0.0, "tiny": 5e-324}
        journal.append(Wake(0.1 + 0.2, (Result(0, 1, "w", {}, metrics, 0.1, 0.2),)))
        (back,) = journal.records()
        assert repr(back.events[0].metrics) == repr(metrics)

    def test_positions_count_from_zero(self, journal: Any) -> None:
        assert journal.position == 0
        for number in range(5):
            journal.append(wake(number))
        assert journal.position == 5
        assert list(journal.records(since=3)) == [wake(3), wake(4)]
        assert list(journal.records(since=5)) == []

    def test_records_can_be_read_while_more_are_appended(self, journal: Any) -> None:
        journal.append(wake(0))
        journal.append(wake(1))
        reading = journal.records()
        assert next(reading) == wake(0)
        journal.append(wake(2))
        assert next(reading) == wake(1)

    def test_the_next_engine_goes_on_where_the_last_one_stopped(self, journal: Any) -> None:
        journal.append(STARTED)
        journal.append(wake(1))
        journal.sync()
        following = self.reopened(journal)
        assert following.position == 2
        following.append(wake(2))
        assert list(following.records()) == [STARTED, wake(1), wake(2)]

    def test_each_engine_has_a_higher_fence(self, journal: Any) -> None:
        assert journal.fence == 1
        journal.append(STARTED)
        second = self.reopened(journal)
        assert second.fence == 2
        second.append(Resumed(2, None, ""))
        assert self.reopened(second).fence == 3

    def test_what_is_forgotten_leaves_positions_and_the_first_record_alone(self, journal: Any) -> None:
        everything = [STARTED, *(wake(number) for number in range(1, 40))]
        for record in everything:
            journal.append(record)
        journal.forget(before=30)
        following = self.reopened(journal)
        assert following.position == 40
        assert list(following.records(since=30)) == everything[30:]
        read: list[Record] = []
        with suppress(JournalDamaged):  # a hole is never passed over; a file forgets by whole segments, so maybe none
            read.extend(following.records())
        assert read
        assert read == everything[: len(read)]

    def test_a_record_that_could_not_be_read_back_is_refused_and_leaves_no_trace(self, journal: Any) -> None:
        journal.append(wake(0))
        with pytest.raises((TypeError, OverflowError, UnicodeEncodeError)):
            journal.append(Wake(1.0, (Result(1, 1, "w", {}, {"loss": object()}, 0.0, 0.0),)))  # type: ignore[dict-item]
        journal.append(wake(1))
        assert list(journal.records()) == [wake(0), wake(1)]


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return MemoryJournal()


class TestFileJournal(JournalContract):
    @pytest.fixture(params=[8 << 20, 600, 100], ids=["one segment", "small segments", "a segment a record"])
    def journal(self, request: pytest.FixtureRequest, tmp_path: Path) -> FileJournal:
        self._folder = tmp_path / "journal"
        return FileJournal(self._folder, RUN, segment_bytes=request.param)

    def reopened(self, journal: FileJournal) -> FileJournal:
        journal.close()
        return FileJournal(self._folder, RUN, segment_bytes=600)
