"""The folder of shared memory: written once, never changed under a reader, gone with its owner."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from cluster.mappings import KEPT
from cluster.shared_memory import OtherBytes, SharedFolder, SharedMemoryFull, reap

LARGE = 1 << 17  # large enough to become a spare


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ripieno-r-7f3"


@pytest.fixture
def folder(path: Path) -> Iterator[SharedFolder]:
    folder = SharedFolder(path, create=True)
    yield folder
    folder.close()


def test_the_parts_come_back_as_one(folder: SharedFolder) -> None:
    folder.write("1.gradient", [b"ab", bytearray(b"cd"), b"", memoryview(b"ef")])
    assert bytes(folder.read("1.gradient")) == b"abcdef"
    assert folder.size_bytes("1.gradient") == 6
    assert "1.gradient" in folder
    assert folder.names() == ["1.gradient"]


def test_nothing_at_all_can_be_written(folder: SharedFolder) -> None:
    folder.write("empty", [])
    assert bytes(folder.read("empty")) == b""


def test_another_process_reads_what_this_one_wrote(folder: SharedFolder, path: Path) -> None:
    folder.write("name", [b"value"])
    other = SharedFolder(path, create=False)
    assert bytes(other.read("name")) == b"value"
    other.close()
    assert folder.names() == ["name"]


def test_the_same_bytes_again_are_no_news_and_others_are_refused(folder: SharedFolder) -> None:
    folder.write("name", [b"first"])
    folder.write("name", [b"fir", b"st"])
    for others in (b"other", b"firs", b"first!"):
        with pytest.raises(OtherBytes, match="written once"):
            folder.write("name", [others])
    assert bytes(folder.read("name")) == b"first"


def test_a_view_cannot_be_written_to(folder: SharedFolder) -> None:
    folder.write("name", [b"value"])
    view = folder.read("name")
    with pytest.raises(TypeError):
        view[0] = 0


def test_a_missing_name_is_a_key_error(folder: SharedFolder) -> None:
    with pytest.raises(KeyError, match="nobody"):
        folder.read("nobody")
    with pytest.raises(KeyError, match="nobody"):
        folder.size_bytes("nobody")
    folder.remove(["nobody"])


@pytest.mark.parametrize("name", ["", "../escape", "a/b", ".owner"])
def test_a_name_cannot_leave_the_folder(folder: SharedFolder, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        folder.write(name, [b""])


def test_a_removed_file_is_written_over_by_the_next_of_its_size(folder: SharedFolder, path: Path) -> None:
    folder.write("old", [b"o" * LARGE])
    inode = (path / "old").stat().st_ino
    folder.remove(["old"])
    folder.write("new", [b"n" * LARGE])
    assert (path / "new").stat().st_ino == inode
    assert bytes(folder.read("new")) == b"n" * LARGE
    with pytest.raises(KeyError):
        folder.read("old")


def test_a_draft_is_computed_where_it_lies(folder: SharedFolder, path: Path) -> None:
    for size_bytes in (3, LARGE):
        draft = folder.draft(size_bytes)
        draft.buffer[:] = b"d" * size_bytes
        assert folder.names() == []
        folder.publish(f"{size_bytes}.x", draft)
        assert bytes(folder.read(f"{size_bytes}.x")) == b"d" * size_bytes
        folder.remove([f"{size_bytes}.x"])
    assert not [entry for entry in path.iterdir() if entry.name not in (".owner", ".spare")]


def test_a_draft_is_written_over_a_spare_that_this_process_knows(folder: SharedFolder, path: Path) -> None:
    inodes = []
    other = SharedFolder(path, create=False)
    for number in range(5):
        draft = folder.draft(LARGE)
        assert draft.aside is not None
        inodes.append(Path(draft.aside).stat().st_ino)
        draft.buffer[:] = bytes([number]) * LARGE
        folder.publish(f"{number}.x", draft)
        other.write(f"{number}.y", [b"y" * LARGE])
        assert bytes(other.read(f"{number}.x")) == bytes([number]) * LARGE
        del draft
        folder.remove([f"{number}.x", f"{number}.y"])
    assert len(set(inodes)) == 1


def test_a_draft_that_is_dropped_leaves_nothing(folder: SharedFolder, path: Path) -> None:
    draft = folder.draft(LARGE)
    buffer = draft.buffer
    del draft
    buffer[:] = b"x" * LARGE  # whoever holds on to it harms nobody
    assert {entry.name for entry in path.iterdir()} == {".owner", ".spare"}


def test_a_draft_comes_second_like_any_other_value(folder: SharedFolder) -> None:
    folder.write("name", [b"first" * LARGE])
    for filling, wrong in ((b"first", False), (b"other", True)):
        draft = folder.draft(5 * LARGE)
        draft.buffer[:] = filling * LARGE
        with pytest.raises(OtherBytes) if wrong else nullcontext():
            folder.publish("name", draft)
    assert bytes(folder.read("name")) == b"first" * LARGE


def test_more_files_than_a_process_keeps_mapped_can_be_read(folder: SharedFolder, path: Path) -> None:
    values = [bytes([number]) * LARGE for number in range(KEPT + 5)]
    for number, value in enumerate(values):
        folder.write(f"{number}.x", [value])
    views = [folder.read(f"{number}.x") for number in range(len(values))]
    folder.remove(folder.names())
    for number in range(len(values)):
        folder.write(f"{number}.y", [b"y" * LARGE])  # over none of those that are being read
    assert all(view == value for view, value in zip(views, values, strict=True))


def test_what_was_mapped_is_let_go_when_its_file_is_gone(folder: SharedFolder) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    folder.write("0.x", [b"x" * LARGE])
    folder.read("0.x")
    before = open_files()
    for number in range(1, 20):
        folder.write(f"{number}.x", [b"x" * (LARGE + number)])  # no spare will do
        folder.remove([f"{number - 1}.x"])
        folder.read(f"{number}.x")
    assert open_files() <= before + 2  # the one before is a spare still


def test_a_view_outlives_its_name_and_never_changes(folder: SharedFolder) -> None:
    folder.write("old", [b"o" * LARGE])
    view = folder.read("old")
    folder.remove(["old"])
    folder.write("new", [b"n" * LARGE])
    assert bytes(view) == b"o" * LARGE
    assert bytes(folder.read("new")) == b"n" * LARGE


def test_spares_live_until_the_next_removal(folder: SharedFolder, path: Path) -> None:
    folder.write("old", [b"o" * LARGE])
    folder.remove(["old"])
    assert len(list((path / ".spare").glob("*/*"))) == 1
    folder.remove([])
    assert not list((path / ".spare").glob("*/*"))


def test_the_folder_is_for_its_user_alone_and_ends_with_its_creator(path: Path) -> None:
    folder = SharedFolder(path, create=True)
    assert path.stat().st_mode & 0o777 == 0o700
    folder.close()
    assert not path.exists()


def test_two_living_owners_cannot_have_one_folder(folder: SharedFolder, path: Path) -> None:
    folder.write("name", [b"value"])
    with pytest.raises(FileExistsError, match="in use"):
        SharedFolder(path, create=True)
    assert bytes(folder.read("name")) == b"value"
    assert reap(path.parent, "ripieno-") == []


def test_who_joins_needs_a_folder(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SharedFolder(path, create=False)


def test_a_dead_owners_folder_is_reaped_or_replaced(path: Path) -> None:
    program = (
        "import sys, signal; from pathlib import Path; from cluster.shared_memory import SharedFolder\n"
        "for name in sys.argv[1:]: globals()[name] = SharedFolder(Path(name), create=True)\n"
        "print('made', flush=True); signal.pause()"
    )
    names = [str(path), str(path) + "-2"]
    owner = subprocess.Popen([sys.executable, "-c", program, *names], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "made\n"
    assert reap(path.parent, "ripieno-") == []
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    SharedFolder(path, create=True).close()
    assert reap(path.parent, "ripieno-") == [Path(names[1])]
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("removed", range(4))
def test_a_folder_that_is_half_removed_is_reaped(path: Path, removed: int) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from cluster.shared_memory import SharedFolder\n"
        "folder = SharedFolder(Path(sys.argv[1]), create=True)\n"
        "for number in range(3): folder.write(f'{number}.x', [b'x'])\n"
        "unlink, calls = os.unlink, iter(range(100))\n"
        "def until_killed(path): next(calls) < int(sys.argv[2]) or os.kill(os.getpid(), signal.SIGKILL); unlink(path)\n"
        "os.unlink = until_killed\n"
        "folder.close()"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path), str(removed)])
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert len(reap(path.parent, "ripieno-")) == 1
    assert list(path.parent.iterdir()) == []


def test_a_folder_is_removed_whole_by_a_process_that_is_to_end_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SharedFolder(path, create=True)
    for number in range(3):
        folder.write(f"{number}.x", [b"x"])

    def ends(entry: object) -> None:
        monkeypatch.undo()
        raise SystemExit

    monkeypatch.setattr(os, "unlink", ends)
    with pytest.raises(SystemExit):
        folder.close()
    assert list(path.parent.iterdir()) == []


def test_nothing_is_left_of_a_folder_that_is_written_to_as_it_goes(path: Path) -> None:
    folder, other = SharedFolder(path, create=True), SharedFolder(path, create=False)
    began, ended = Event(), Event()

    def write() -> None:
        with suppress(FileNotFoundError):
            for number in count():
                other.write(f"{number}.x", [b"x" * LARGE])
                other.remove([f"{number - 1}.x"])
                began.set()
        ended.set()

    Thread(target=write, daemon=True).start()
    assert began.wait(10)
    folder.close()
    assert ended.wait(10)
    assert list(path.parent.iterdir()) == []


def test_too_little_room_is_told_in_numbers(folder: SharedFolder) -> None:
    folder.require_room(1)
    with pytest.raises(SharedMemoryFull, match=r"needs 1,000,000,000,000 MB .* free.*--shm-size"):
        folder.require_room(10**18)


def test_many_processes_may_write_one_name(folder: SharedFolder, path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from cluster.shared_memory import OtherBytes, SharedFolder\n"
        "folder = SharedFolder(Path(sys.argv[1]), create=False); mine = sys.argv[2].encode() * 100_000\n"
        "sys.stdin.readline()\n"
        "wins = 0\n"
        "for number in range(100):\n"
        "    try: folder.write(f'{number}.x', [mine]); wins += 1\n"
        "    except OtherBytes: pass\n"
        "print(wins)"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path), letter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for letter in "abc"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    wins = [int(writer.communicate()[0]) for writer in writers]
    values = [bytes(folder.read(name)) for name in folder.names()]
    assert len(values) == sum(wins) == 100
    assert all(value == value[:1] * 100_000 for value in values)


def test_where_memory_is_short_spares_are_given_up_and_then_it_is_full(tmp_path: Path) -> None:
    """On a tmpfs of 1 MB in a mount namespace of its own."""
    program = (
        "import sys; from pathlib import Path; from cluster.shared_memory import SharedFolder, SharedMemoryFull\n"
        "folder = SharedFolder(Path(sys.argv[1]) / 'values', create=True)\n"
        "folder.write('first', [b'a' * 700_000]); folder.remove(['first'])\n"
        "folder.write('second', [b'b' * 600_000])\n"
        "try: folder.write('third', [b'c' * 600_000])\n"
        "except SharedMemoryFull as error: print(error)\n"
        "print(folder.names(), bytes(folder.read('second')) == b'b' * 600_000)"
    )
    small = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=1m none "$0"'
    if subprocess.run([*small, mount, str(tmp_path)], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs in a namespace of their own")
    ran = subprocess.run(
        [*small, f'{mount} && exec "$@"', str(tmp_path), sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    full, names = ran.stdout.splitlines()
    assert "needs 1 MB" in full
    assert names == "['second'] True"


def test_full_is_full_though_there_is_room_by_the_time_that_one_looks(
    folder: SharedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process took it, and let go of it again: the system's refusal stands for that."""

    def refuse(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(SharedMemoryFull):
        folder.draft(LARGE)
    assert not list(folder.path.glob(f".{os.getpid()}-*"))


def test_what_a_dead_process_was_writing_can_be_freed(folder: SharedFolder, path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from cluster.shared_memory import SharedFolder\n"
        "folder = SharedFolder(Path(sys.argv[1]), create=False, writer='abc')\n"
        f"folder.write('there', [b'whole']); draft = folder.draft({LARGE})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    mine = folder.draft(LARGE)
    folder.abandon("ab")
    assert list(path.glob(".abc-*"))
    folder.abandon("abc")
    assert not list(path.glob(".abc-*"))
    folder.publish("mine", mine)
    assert folder.names() == ["mine", "there"]


def test_a_folder_that_is_reaped_while_it_is_made_is_made_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, reaped = fcntl.flock, list[Path]()

    def late(descriptor: int, operation: int) -> None:
        if not reaped:
            reaped.append(path)
            reaped.extend(reap(path.parent, path.name))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    folder = SharedFolder(path, create=True)
    assert len(reaped) == 2
    folder.write("name", [b"value"])
    folder.close()
    assert list(path.parent.iterdir()) == []
