"""A disk that is full ends a run with a sentence, loses nothing, and holds nobody up once there is room."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.journal.reader import JournalReader
from orchestrator.verify import replay
from tests.support.runs import digits_spec, virtual

RUN = "full"


class Disk:
    """A file system of its own, in memory, as large as one wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, kilobytes: int, *options: str) -> None:
        size = ",".join([f"size={kilobytes}k", *options])
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "ripieno-test", str(self.folder)], check=True)

    def grow(self, kilobytes: int) -> None:
        self.mount(kilobytes, "remount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    disk = Disk(tmp_path / "disk")
    disk.folder.mkdir()
    try:
        disk.mount(4)
    except subprocess.CalledProcessError:
        pytest.skip("this container may not mount")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.folder)], check=True)


def ripieno(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="ripieno")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize("kilobytes", [24, 48, 150])
def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kilobytes: int
) -> None:
    monkeypatch.setattr("orchestrator.workers.on_ray", lambda _: virtual())
    state = disk.folder / "runs"
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(digits_spec(state, epochs=4).model_dump(mode="json", exclude_unset=True)))
    disk.grow(kilobytes)
    code, said = ripieno("run", str(spec), "--name", RUN)
    assert code == 1
    assert f"no room for {state / RUN}" in said
    assert "MB left. Make room there" in said
    assert "ripieno resume goes on" in said
    before = list(JournalReader(state / RUN / "journal").records())

    disk.grow(100_000)
    code, said = ripieno("resume", RUN, "--state", str(state))
    assert code == 0, said
    assert list(JournalReader(state / RUN / "journal").records())[: len(before)] == before
    assert replay(state / RUN).same
