"""What befalls a run is told by the command: its exit code, its sentence, and what it counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.folder import RunFolder
from orchestrator.journal.file import FileJournal
from orchestrator.lifecycle import start
from orchestrator.outcome_file import load_outcome
from orchestrator.pools.virtual import Faults
from orchestrator.verify import replay
from tests.support.runs import StopAfter, digits_spec, virtual
from tests.support.scenario import tear

RUN = "told"
Ripieno = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ripieno(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ripieno:
    """A command on the virtual pool; faults: what goes wrong there. Returns exit code, standard output and error."""

    def command(*arguments: str, faults: Faults | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("orchestrator.workers.on_ray", lambda _: virtual(faults))
        result = CliRunner().invoke(app, [*arguments, "--state", str(tmp_path)], prog_name="ripieno")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return command


def begin(state: Path, wakes: int = 0, faults: Faults | None = None, **train: Any) -> RunFolder:
    """A run that was stopped after so many wakes."""
    spec = digits_spec(state, **train)
    spec = spec.model_copy(update={"times": spec.times.model_copy(update={"patience_s": 20.0})})
    stop = StopAfter(wakes)
    start(spec, open_pool=virtual(faults), name=RUN, stop=stop, observers=[stop])
    return RunFolder(state / RUN)


def test_a_second_driver_is_refused_with_exit_code_2_and_the_first_ones_process(
    tmp_path: Path, ripieno: Ripieno
) -> None:
    files = begin(tmp_path, wakes=20)
    with closing(FileJournal(files.journal, RUN)):
        code, _, said = ripieno("resume", RUN)
    assert code == 2
    assert "is being written by process" in said
    assert ripieno("resume", RUN)[0] == 0


@pytest.mark.parametrize("damage", ["a torn tail", "a snapshot that is cut short", "both"])
def test_a_torn_write_is_told_and_costs_nothing(tmp_path: Path, ripieno: Ripieno, damage: str) -> None:
    files = begin(tmp_path, wakes=40)
    if damage != "a snapshot that is cut short":
        tear(files.journal, Random(damage))
    if damage != "a torn tail":
        newest = max(files.snapshots.iterdir())
        newest.write_bytes(newest.read_bytes()[:-9])
    code, _, said = ripieno("resume", RUN)
    assert code == 0, said
    assert ("torn_tail_cut" in said) == (damage != "a snapshot that is cut short")
    assert ("snapshot_passed_over" in said) == (damage != "a torn tail")
    assert replay(files.path).same


def test_damage_within_the_journal_ends_with_exit_code_2_file_and_offset(tmp_path: Path, ripieno: Ripieno) -> None:
    files = begin(tmp_path, wakes=40)
    newest = max(files.journal.glob("segment-*.log"))
    data = bytearray(newest.read_bytes())
    data[200] ^= 1
    newest.write_bytes(data)
    code, _, said = ripieno("resume", RUN)
    assert code == 2
    assert f"{newest}, byte " in said
    assert "Nothing was changed" in said
    assert newest.read_bytes() == data


def test_with_too_few_workers_a_run_waits_and_fails_in_the_end_with_the_reason(
    tmp_path: Path, ripieno: Ripieno
) -> None:
    begin(tmp_path, min_workers=3)
    leaving = Faults(leaves=[(3.0, "worker-0"), (4.0, "worker-1")])
    code, said, _ = ripieno("resume", RUN, faults=leaving)
    assert code == 1
    assert "2 of at least 3 workers are connected for 20 s" in said


def test_a_run_that_had_too_few_workers_goes_on_when_they_are_back(tmp_path: Path, ripieno: Ripieno) -> None:
    begin(tmp_path, min_workers=4)
    away = Faults(leaves=[(3.0, "worker-0")], joins=[(9.0, "worker-7")])
    code, said, _ = ripieno("resume", RUN, faults=away)
    assert code == 0, said


def test_nan_from_one_worker_is_counted_and_the_run_is_done(tmp_path: Path, ripieno: Ripieno) -> None:
    files = begin(tmp_path)
    code, said, _ = ripieno("resume", RUN, faults=Faults(non_finite=1.0, non_finite_workers=["worker-2"]))
    assert code == 0, said
    outcome = load_outcome(files.path)
    assert outcome is not None
    assert outcome.done == pytest.approx(2.0)
    assert outcome.faults.rejected == outcome.faults.failures["non-finite"] > 0
    assert f"{outcome.faults.rejected} non-finite" in said


def test_nan_from_all_workers_ends_the_run_with_the_cause(tmp_path: Path, ripieno: Ripieno) -> None:
    begin(tmp_path)
    code, said, _ = ripieno("resume", RUN, faults=Faults(non_finite=1.0))
    assert code == 1
    assert "every present worker returned NaN or Inf" in said
    assert "4 non-finite" in said
