"""Which runs there are, and which one is meant."""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path

import pytest

from orchestrator.cli.runs import NoSuchRun, all_runs, find_run, load_run
from orchestrator.folder import RunFolder
from orchestrator.outcome import Outcome, TimeSaved
from orchestrator.outcome_file import load_outcome, save_outcome


def make(state: Path, run: str, *, started_s: float) -> Path:
    """A run's folder with its spec."""
    files = RunFolder(state / run)
    files.journal.mkdir(parents=True)
    files.spec.write_text('{"task": "a:B"}')
    os.utime(files.spec, (started_s, started_s))
    return files.path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with three runs, and something else in it."""
    for started_s, run in enumerate(("r-7f3", "r-7a1", "digits"), start=1_000):
        make(tmp_path, run, started_s=started_s)
    (tmp_path / "mlruns").mkdir()
    return tmp_path


def an_outcome(folder: Path) -> Outcome:
    return Outcome(
        folder.name,
        folder,
        "done",
        {"test_loss": 0.5},
        7,
        0.2,
        "epochs",
        3.5,
        0.9,
        TimeSaved(2.0, 1.0, 1.5),
        "ab",
        folder / "m",
    )


@pytest.mark.parametrize(
    ("name", "run"), [("r-7f3", "r-7f3"), ("r-7f", "r-7f3"), ("d", "digits"), ("last", "digits"), ("digits", "digits")]
)
def test_a_run_is_its_id_or_how_only_it_begins_or_the_last(state: Path, name: str, run: str) -> None:
    assert find_run(state, name) == state / run


def test_an_id_is_meant_though_others_begin_like_it(state: Path) -> None:
    make(state, "r-7", started_s=2_000)
    assert find_run(state, "r-7").name == "r-7"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("r-7", "'r-7' begins the names of r-7a1, r-7f3; give a few letters more."),
        (
            "digts",
            "no run 'digts' in {state}; did you mean 'digits'? `last` is the newest, digits; `ripieno list` shows all.",
        ),
        ("x", "no run 'x' in {state}. `last` is the newest, digits; `ripieno list` shows all."),
    ],
)
def test_no_run_or_too_many_is_told_with_those_that_there_are(state: Path, name: str, sentence: str) -> None:
    with pytest.raises(NoSuchRun) as refused:
        find_run(state, name)
    assert str(refused.value) == sentence.format(state=state)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


@pytest.mark.parametrize("name", ["last", "x"])
def test_where_there_are_no_runs_that_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoSuchRun, match=r"there are no runs in .*; start one with `ripieno run SPEC`"):
        find_run(tmp_path / "nowhere", name)


def test_runs_are_listed_newest_first(state: Path) -> None:
    assert [run.run for run in all_runs(state)] == ["digits", "r-7a1", "r-7f3"]
    assert all_runs(state / "nowhere") == []


def test_an_outcome_is_read_back_wherever_its_folder_went(state: Path) -> None:
    outcome = an_outcome(state / "r-7f3")
    save_outcome(outcome)
    assert load_outcome(state / "r-7f3") == outcome
    moved = (state / "r-7f3").rename(state / "r-7f4")
    assert (found := load_outcome(moved)) is not None
    assert found.folder == moved


def test_a_damaged_outcome_or_spec_does_not_hide_the_run(state: Path) -> None:
    files = RunFolder(state / "r-7f3")
    files.outcome.write_text('{"run": "r-7')
    files.spec.write_text("{")
    run = load_run(files.path)
    assert (run.run, run.status, run.spec, run.outcome) == ("r-7f3", "stopped", {}, None)


def test_a_run_is_shown_without_its_passwords(state: Path) -> None:
    RunFolder(state / "r-7f3").spec.write_text('{"task": "a:B", "storage": "s3://key:secret@bucket"}')
    assert load_run(state / "r-7f3").spec == {"task": "a:B", "storage": "s3://bucket"}


def test_a_run_is_running_while_its_engine_lives(state: Path) -> None:
    lock = RunFolder(state / "r-7f3").journal / "lock"
    lock.write_text(f"{os.getpid()} {socket.gethostname()}\n")
    assert load_run(state / "r-7f3").status == "running"
    lock.write_text(f"{2**22 + 1} {socket.gethostname()}\n")
    assert load_run(state / "r-7f3").status == "stopped"
    lock.write_text(f"{os.getpid()} another-machine\n")
    assert load_run(state / "r-7f3").status == "stopped"


def test_a_run_has_ended_when_its_outcome_is_younger_than_its_lock(state: Path) -> None:
    folder = state / "r-7f3"
    lock = RunFolder(folder).journal / "lock"
    lock.write_text(f"{os.getpid()} {socket.gethostname()}\n")
    save_outcome(an_outcome(folder))
    assert load_run(folder).status == "done"
