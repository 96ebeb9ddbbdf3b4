"""The journal as a folder of segments: what survives which accident, and what is told apart."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import JournalDamaged, JournalHeld, JournalLost
from orchestrator.journal.codec import encode
from orchestrator.journal.file import FileJournal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.records import Record, Started
from orchestrator.journal.segment import SegmentReader
from orchestrator.records import Ref, Result, Wake
from tests.support.records import records

RUN = "r-7f3"
STARTED = Started(RUN, {}, "0" * 64, "0.1.0", None, 0, "2025-11-23T20:00:00Z")


def wake(number: int) -> Wake:
    return Wake(float(number), (Result(number, 1, "w1", {"x": Ref(f"{number}.x")}, {"loss": 0.5}, 0.01, 0.5),))


RECORDS: list[Record] = [STARTED, *(wake(number) for number in range(1, 30))]


def write(folder: Path, appended: Sequence[Record], segment_bytes: int = 8 << 20) -> None:
    journal = FileJournal(folder, RUN, segment_bytes=segment_bytes)
    for record in appended:
        journal.append(record)
    journal.close()


def segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("segment-*") if path.suffix != ".tmp")


def read(folder: Path) -> list[Record]:
    return list(JournalReader(folder).records())


any_place = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@any_place
@given(st.lists(records, max_size=12), st.sampled_from([100, 200, 8 << 20]))
def test_any_sequence_of_records_comes_back(
    tmp_path_factory: pytest.TempPathFactory, appended: list[Record], segment_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    write(folder, appended, segment_bytes)
    assert repr(read(folder)) == repr(appended)
    shutil.rmtree(folder)


class TestTornTail:
    """An append that was cut short."""

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("whole")
        write(folder, RECORDS)
        return folder

    @given(cut=st.integers(1, 3000), zeros=st.sampled_from([0, 1, 11, 12, 4096]))
    @any_place
    def test_any_cut_leaves_a_prefix_and_the_run_goes_on(
        self, whole: Path, tmp_path_factory: pytest.TempPathFactory, cut: int, zeros: int
    ) -> None:
        folder = tmp_path_factory.mktemp("cut") / "journal"
        shutil.copytree(whole, folder)
        newest = segments(folder)[-1]
        data = newest.read_bytes()
        kept = max(len(data) - cut, 60)
        newest.write_bytes(data[:kept] + bytes(zeros))  # zeros: what a file system may add after loss of power
        before = read(folder)
        assert before == RECORDS[: len(before)]
        reader = SegmentReader(newest, newest.read_bytes())
        assert len(list(reader)) <= len(before)

        journal = FileJournal(folder, RUN)  # from now on its thread may compress what is closed
        assert journal.position == len(before)
        assert (journal.torn is None) == (reader.end == reader.size)
        journal.append(wake(99))
        journal.close()
        assert read(folder) == [*before, wake(99)]
        shutil.rmtree(folder.parent)

    def test_it_is_reported_with_file_offset_and_length(self, tmp_path: Path) -> None:
        write(tmp_path, RECORDS)
        newest = segments(tmp_path)[-1]
        size = newest.stat().st_size
        with newest.open("ab") as file:
            file.write(b"\x40\x00\x00")
        journal = FileJournal(tmp_path, RUN)
        assert journal.torn == (str(newest), size, 3)
        assert journal.position == len(RECORDS)
        journal.close()

    def test_a_reader_passes_over_it_and_leaves_it_alone(self, tmp_path: Path) -> None:
        write(tmp_path, RECORDS)
        newest = segments(tmp_path)[-1]
        with newest.open("ab") as file:
            file.write(b"\x40\x00\x00")
        size = newest.stat().st_size
        assert read(tmp_path) == RECORDS
        assert newest.stat().st_size == size

    def test_a_closed_segment_has_no_torn_tail(self, tmp_path: Path) -> None:
        write(tmp_path, RECORDS[:9])
        closed = segments(tmp_path)[-1]
        write(tmp_path, RECORDS[9:])
        compressed = closed.with_name(closed.name + ".gz")
        data = gzip.decompress(compressed.read_bytes())
        for cut in (1, 12, 13, 100):
            compressed.write_bytes(gzip.compress(data[:-cut]))
            with pytest.raises(JournalDamaged):
                read(tmp_path)


class TestDamage:
    """A byte that is not as it was written."""

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("whole")
        write(folder, RECORDS[:10])
        write(folder, RECORDS[10:])
        return folder

    @given(data=st.data())
    @settings(any_place, max_examples=300)
    def test_a_changed_byte_never_yields_another_record(
        self, whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder = tmp_path_factory.mktemp("flipped") / "journal"
        shutil.copytree(whole, folder)
        file = data.draw(st.sampled_from(segments(folder)), "file")
        content = bytearray(file.read_bytes())
        offset = data.draw(st.integers(0, len(content) - 1), "offset")
        content[offset] ^= data.draw(st.integers(1, 255), "change")
        file.write_bytes(content)
        in_the_last_record = file.suffix == ".log" and offset >= last_frame_offset(whole)
        try:
            found = read(folder)
        except JournalDamaged as error:
            named = Path(error.file)
            assert named.parent == folder
        else:
            assert found == RECORDS[: len(found)]
            assert len(found) >= len(RECORDS) - in_the_last_record
        shutil.rmtree(folder.parent)

    def test_two_records_cannot_change_places(self, tmp_path: Path) -> None:
        write(tmp_path, [STARTED, wake(1), wake(2), wake(3)])
        newest = segments(tmp_path)[-1]
        data = newest.read_bytes()
        frame = 12 + len(encode(wake(1)))
        header, a, b, c = data[: -3 * frame], data[-3 * frame : -2 * frame], data[-2 * frame : -frame], data[-frame:]
        newest.write_bytes(header + b + a + c)
        with pytest.raises(JournalDamaged, match="checksum"):
            read(tmp_path)

    def test_a_lost_segment_is_a_hole_that_is_never_passed_over(self, tmp_path: Path) -> None:
        write(tmp_path, RECORDS, segment_bytes=300)
        lost = segments(tmp_path)[4]
        lost.unlink()
        with pytest.raises(JournalDamaged, match=r"record \d+ should be"):
            read(tmp_path)

    def test_a_foreign_journal_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path, RECORDS)
        with pytest.raises(JournalDamaged, match="belongs to run 'r-7f3', not to 'r-other'"):
            FileJournal(tmp_path, "r-other")
        with pytest.raises(JournalDamaged, match="belongs"):
            list(JournalReader(tmp_path, "r-other").records())

    def test_what_is_no_segment_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "segment-000001.log").write_bytes(b"dear diary, today nothing happened at all")
        with pytest.raises(JournalDamaged, match=r"segment-000001\.log, byte 0: .* not a segment"):
            FileJournal(tmp_path, RUN)

    def test_a_newer_format_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path, RECORDS)
        newest = segments(tmp_path)[-1]
        data = bytearray(newest.read_bytes())
        data[8] = 2
        newest.write_bytes(data)
        with pytest.raises(JournalDamaged, match="format 2"):
            FileJournal(tmp_path, RUN)


class TestLock:
    def test_a_second_engine_is_told_who_writes(self, tmp_path: Path) -> None:
        program = (
            "import sys, signal; from pathlib import Path; from orchestrator.journal.file import FileJournal\n"
            f"journal = FileJournal(Path(sys.argv[1]), {RUN!r}); print('open', flush=True); signal.pause()"
        )
        holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "open\n"
            with pytest.raises(JournalHeld, match=f"process {holder.pid} on {os.uname().nodename}") as held:
                FileJournal(tmp_path, RUN)
            assert held.value.exit_code == 2
            assert read(tmp_path) == []
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.communicate()
        journal = FileJournal(tmp_path, RUN)  # the kernel let go
        assert journal.fence == 2
        journal.close()

    def test_the_fence_rises_with_every_engine_and_is_in_every_segment(self, tmp_path: Path) -> None:
        for fence in (1, 2, 3):
            journal = FileJournal(tmp_path, RUN, segment_bytes=100)
            assert journal.fence == fence
            journal.append(wake(0))
            journal.append(wake(1))
            journal.close()
        reader = JournalReader(tmp_path)
        assert [reader.header(number).fence for number in range(1, 7)] == [1, 1, 2, 2, 3, 3]

    @pytest.mark.parametrize("accident", ["the lock's file is deleted", "the lock is dropped"])
    def test_a_stale_engine_can_never_write(self, tmp_path: Path, accident: str) -> None:
        stale = FileJournal(tmp_path, RUN)
        stale.append(STARTED)
        if accident == "the lock's file is deleted":
            (tmp_path / "lock").unlink()
        else:
            with (tmp_path / "lock").open("a") as lock:  # as the next holder does
                lock.write("4711 elsewhere\n")
        with pytest.raises(JournalLost, match="This engine stops"):
            stale.append(wake(1))
        stale.close()
        assert read(tmp_path) == [STARTED]


class TestRotation:
    def test_a_kill_at_any_line_loses_nothing_that_was_acknowledged(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "tests.support.killed_at_every_line", str(tmp_path), RUN, "340"]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert int(ran.stdout) > 1000

    @pytest.mark.parametrize(
        "left", ["a segment's beginning", "half a compressed segment", "both, plain and compressed"]
    )
    def test_what_a_crash_left_of_a_rotation_is_tidied_by_the_next_engine(self, tmp_path: Path, left: str) -> None:
        write(tmp_path, RECORDS[:10])
        closed = segments(tmp_path)[-1]
        whole = closed.read_bytes()
        if left == "a segment's beginning":
            (tmp_path / "segment-000003.log.tmp").write_bytes(whole[:30])
        elif left == "half a compressed segment":
            (tmp_path / f"{closed.name}.gz.tmp").write_bytes(gzip.compress(whole)[:50])
        else:
            write(tmp_path, [])
            closed.write_bytes(whole)
        assert read(tmp_path) == RECORDS[:10]
        write(tmp_path, RECORDS[10:])
        assert read(tmp_path) == RECORDS
        assert [path.suffix for path in segments(tmp_path)] == [*[".gz"] * (len(segments(tmp_path)) - 1), ".log"]
        assert not list(tmp_path.glob("*.tmp"))

    def test_a_compressor_that_fails_leaves_the_plain_segment(self, tmp_path: Path) -> None:
        (tmp_path / "segment-000001.log.gz.tmp").mkdir()  # cannot be written to
        write(tmp_path, RECORDS)
        assert segments(tmp_path)[0].name == "segment-000001.log"
        assert read(tmp_path) == RECORDS

    def test_reading_goes_on_while_segments_are_closed_and_compressed(self, tmp_path: Path) -> None:
        journal = FileJournal(tmp_path, RUN, segment_bytes=300)
        for record in RECORDS:
            journal.append(record)
            assert read(tmp_path)[-1] == record
        journal.close()


class TestForgetting:
    def test_whole_segments_go_and_the_first_record_stays(self, tmp_path: Path) -> None:
        journal = FileJournal(tmp_path, RUN, segment_bytes=300)
        for record in RECORDS:
            journal.append(record)
        before = len(segments(tmp_path))
        journal.forget(before=20)
        journal.close()
        assert len(segments(tmp_path)) < before / 2 + 2
        assert JournalReader(tmp_path).started() == STARTED
        assert list(JournalReader(tmp_path).records(since=20)) == RECORDS[20:]
        with pytest.raises(JournalDamaged, match="record 1 should be"):
            read(tmp_path)

    def test_nothing_needed_is_forgotten_wherever_the_cut(self, tmp_path: Path) -> None:
        for before in range(len(RECORDS) + 2):
            folder = tmp_path / str(before)
            journal = FileJournal(folder, RUN, segment_bytes=300)
            for record in RECORDS:
                journal.append(record)
            journal.forget(before)
            assert list(journal.records(since=before)) == RECORDS[before:]
            journal.append(wake(99))
            journal.close()
            assert list(JournalReader(folder).records(since=before)) == [*RECORDS[before:], wake(99)][: 30 + 1 - before]


def test_what_append_returned_for_survives_sigkill(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from orchestrator.journal.file import FileJournal\n"
        "from orchestrator.records import Wake\n"
        f"journal = FileJournal(Path(sys.argv[1]), {RUN!r}, segment_bytes=2000)\n"
        "for number in range(10**9):\n"
        "    journal.append(Wake(float(number), ()))\n"
        "    print(number, flush=True)"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(2000):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        lines = [line for line in writer.communicate()[0].split("\n")[:-1] if line]
        acknowledged = int(lines[-1]) if lines else acknowledged
        everything = [record.now_s for record in JournalReader(tmp_path).records() if isinstance(record, Wake)]
        mine = everything[-everything[::-1].index(0.0) - 1 :]
        assert mine == [float(number) for number in range(len(mine))]
        assert len(mine) > acknowledged


def test_a_full_disk_is_an_error_and_leaves_the_journal_whole(tmp_path: Path) -> None:
    """The file size limit stands in for the disk: it cuts a write short in the same way."""
    program = (
        "import resource, sys; from pathlib import Path; from orchestrator.journal.file import FileJournal\n"
        "from orchestrator.records import Wake\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"journal = FileJournal(Path(sys.argv[1]), {RUN!r}); number = 0\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    while True: journal.append(Wake(float(number), ())); number += 1\n"
        "except OSError: print(number)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); journal.close()"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert len(read(tmp_path)) == int(ran.stdout) > 10
    journal = FileJournal(tmp_path, RUN)
    assert journal.torn is None
    journal.close()


def last_frame_offset(folder: Path) -> int:
    write_to = segments(folder)[-1]
    return write_to.stat().st_size - 12 - len(encode(RECORDS[-1]))


def test_after_close_nothing_is_written_and_a_second_close_is_harmless(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path, RUN)
    journal.append(STARTED)
    journal.close()
    journal.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.append(wake(1))
    assert read(tmp_path) == [STARTED]
