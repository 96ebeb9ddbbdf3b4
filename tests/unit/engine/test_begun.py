"""A command that is given again finds the run that it began, and only that one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.begun import OtherSpec, begun
from orchestrator.errors import JournalHeld
from orchestrator.folder import RunFolder
from orchestrator.journal.file import FileJournal
from orchestrator.lifecycle import begin_folder, resume, start
from orchestrator.spec import Spec
from tests.support.runs import StopAfter, digits_spec, inline


def interrupted(spec: Spec, name: str) -> Path:
    stop = StopAfter(6)
    outcome = start(spec, open_pool=inline, name=name, stop=stop, observers=[stop])
    assert outcome.outcome == "interrupted"
    return outcome.folder


def test_the_same_spec_finds_its_run_and_goes_on_to_the_weights_of_a_run_that_nobody_stopped(tmp_path: Path) -> None:
    spec = digits_spec(tmp_path, epochs=0.5)
    folder = interrupted(spec, "again")
    assert begun(spec, "again") == folder
    done = resume(folder, open_pool=inline)
    whole = start(spec, open_pool=inline, name="whole")
    assert done.weights_sha256 == whole.weights_sha256
    assert begun(spec, "again") == folder, "a run that is done stays done"


def test_a_name_that_no_run_has_is_still_to_be_started(tmp_path: Path) -> None:
    assert begun(digits_spec(tmp_path), "new") is None
    assert list(tmp_path.iterdir()) == []


def test_another_spec_is_told_from_the_one_that_the_run_began_with_key_by_key(tmp_path: Path) -> None:
    interrupted(digits_spec(tmp_path), "again")
    other = digits_spec(tmp_path, batch_size=25).model_copy(update={"seed": 7})
    with pytest.raises(OtherSpec, match=r"begun with another spec: seed, train\.batch_size differ") as refused:
        begun(other, "again")
    assert refused.value.exit_code == 2


def test_the_same_state_folder_by_another_path_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = interrupted(digits_spec(tmp_path / "runs"), "again")
    monkeypatch.chdir(tmp_path)
    assert begun(digits_spec(Path("runs")), "again") == folder


@pytest.mark.parametrize("journal", [False, True])
def test_a_run_that_was_killed_before_its_first_record_is_begun_anew(tmp_path: Path, journal: bool) -> None:
    spec = digits_spec(tmp_path, epochs=0.1)
    files = begin_folder(spec, "again")
    if journal:
        FileJournal(files.journal, "again").close()
    assert begun(spec, "again") is None
    assert start(spec, open_pool=inline, name="again").outcome == "done"


def test_a_run_that_is_just_being_begun_is_left_alone(tmp_path: Path) -> None:
    spec = digits_spec(tmp_path)
    files: RunFolder = begin_folder(spec, "again")
    with closing(FileJournal(files.journal, "again")), pytest.raises(JournalHeld):
        begun(spec, "again")
    assert files.spec.exists()
