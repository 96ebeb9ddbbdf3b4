"""What the system refused is said with the file, the reason and what to do."""

import errno
import os
from pathlib import Path

from orchestrator.cli.refusals import refusal


def refused(number: int, file: Path) -> str:
    return refusal(OSError(number, os.strerror(number), str(file)))


def test_a_full_disk_is_said_with_its_room_though_the_file_never_came_to_be(tmp_path: Path) -> None:
    file = tmp_path / "not" / "there" / "file"
    said = refused(errno.ENOSPC, file)
    assert said.startswith(f"no room for {file}: its disk has ")
    assert " MB left. Make room there" in said


def test_limits_are_told_from_full_disks(tmp_path: Path) -> None:
    assert "your quota of its disk is used up" in refused(errno.EDQUOT, tmp_path)
    assert "ulimit -f" in refused(errno.EFBIG, tmp_path)


def test_anything_else_is_what_the_system_says_of_it(tmp_path: Path) -> None:
    assert refused(errno.EROFS, tmp_path) == f"the system refused: Read-only file system ({tmp_path})."
    assert refusal(OSError("no such bucket")) == "the system refused: no such bucket."
