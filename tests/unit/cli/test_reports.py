"""What is printed about runs, letter by letter."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from orchestrator.cli import reports
from orchestrator.cli.runs import Run
from orchestrator.cli.why import HEADER, line, spans
from orchestrator.outcome import FEW_WORKERS, Faults, Outcome, Plan, Replayed, TimeSaved, WorkerFigures
from orchestrator.records import Closed, Decided, Decision


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Of a run in ./runs that went well."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "r-7f3"
    return Outcome(
        run="r-7f3",
        folder=folder,
        outcome="done",
        metrics={"test_accuracy": 0.9012, "test_loss": 0.28713},
        rounds=4690,
        done=5.0,
        unit="epochs",
        elapsed_s=151.2,
        goodput=0.93,
        time_saved=TimeSaved(full_s=341.0, actual_s=151.0, same_data_s=302.0),
        weights_sha256="3fa9" * 16,
        model_file=folder / "model.safetensors",
        tracking_uri="sqlite:////data/mlflow.db",
        mlflow_run_id="8c1",
    )


def printed(report: RenderableType, width: int = 110) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(report, crop=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def test_a_run_that_is_done_says_what_came_out_and_what_to_do_next(outcome: Outcome) -> None:
    assert printed(reports.ended(outcome)) == DONE.strip("\n")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_but_commands_which_are_never_broken(outcome: Outcome, width: int) -> None:
    uri = f"sqlite:////{'long/' * 30}mlflow.db"
    lines = printed(reports.ended(replace(outcome, tracking_uri=uri)), width).splitlines()
    assert [line for line in lines if len(line) > width] == [f"curves          mlflow ui --backend-store-uri {uri}"]


def test_an_interrupted_run_says_how_to_go_on(outcome: Outcome) -> None:
    stopped = replace(outcome, outcome="interrupted", model_file=None, weights_sha256="")
    assert "ripieno resume r-7f3" in printed(reports.ended(stopped))
    assert "replay" not in printed(reports.ended(stopped))


def test_of_a_run_that_failed_the_users_traceback_comes_first(outcome: Outcome) -> None:
    failed = replace(
        outcome, outcome="failed", reason="Traceback (most recent call last):\n  boom\nboth workers failed"
    )
    lines = printed(reports.ended(failed)).splitlines()
    assert lines[:3] == ["Traceback (most recent call last):", "  boom", "both workers failed"]


def test_commands_name_the_state_folder_when_it_is_not_the_usual_one(outcome: Outcome) -> None:
    elsewhere = replace(outcome, folder=outcome.folder.parents[1] / "my runs" / "r-7f3")
    assert "ripieno replay r-7f3 --state 'my runs'" in printed(reports.ended(elsewhere))


def test_a_tracking_server_is_named_not_started(outcome: Outcome) -> None:
    text = printed(reports.ended(replace(outcome, tracking_uri="https://mlflow.example.org")))
    assert "https://mlflow.example.org" in text
    assert "mlflow ui" not in text


def test_without_tracking_mlflow_is_not_mentioned(outcome: Outcome) -> None:
    assert "mlflow" not in printed(reports.ended(replace(outcome, tracking_uri="", mlflow_run_id=""))).lower()


def test_what_went_wrong_and_who_was_late_is_said_with_the_worst_first(outcome: Outcome) -> None:
    workers = (
        WorkerFigures("worker-3", 400, 300, 1, 0.25, 0.31, 1.24),
        WorkerFigures("worker-0", 4100, 0, 0, 0.0051, 0.0072, 0.042),
    )
    faults = Faults({"lost worker": 1, "non-finite": 2}, 1, 3, 1, 1, (4.2,), (), (31.0, 12.0))
    text = printed(
        reports.ended(replace(outcome, workers=workers, faults=faults, useful_time=0.61, peak_memory_bytes=412_000_000))
    )
    assert TROUBLED.strip("\n") in text


def test_of_many_workers_only_the_worst_are_listed(outcome: Outcome) -> None:
    workers = tuple(WorkerFigures(f"worker-{number}", 10, 0, 0) for number in range(100))
    lines = printed(reports.ended(replace(outcome, workers=workers))).splitlines()
    assert sum(line.startswith("worker-") for line in lines) == FEW_WORKERS
    assert "88 more in workers.arrow" in lines


def test_no_time_saved_is_said_plainly(outcome: Outcome) -> None:
    text = printed(reports.ended(replace(outcome, time_saved=TimeSaved(full_s=11.0, actual_s=10.5, same_data_s=10.0))))
    assert "time saved      none: by the run's own timings, waiting for all would have taken 10.0 s" in text


def test_a_plan_says_what_would_happen_and_that_nothing_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan(
        task="examples.fashion_mnist.task:FashionMnist",
        rows=[("data", "60,000 samples"), ("workers", "4, quorum static: {k: 3}")],
        parameters=421_642,
        cluster="this machine",
        needs={"CPU": 5.0},
        has={"CPU": 2.0},
        state=tmp_path / "runs",
        tracking_uri="sqlite:///mlflow.db",
    )
    assert printed(reports.planned(plan)) == PLAN.strip("\n")


def test_a_replay_says_whether_all_came_out_the_same() -> None:
    same = Replayed("r-7f3", 100, 20, (), "aa", "aa")
    assert printed(reports.replayed(same)).startswith("r-7f3  same as before\n")
    other = replace(same, differing=("wake 7: another worker",), weights_sha256="bb")
    assert printed(reports.replayed(other)).splitlines() == [
        "r-7f3  not the same",
        "",
        "decisions       20 compared, from 100 wakes",
        "differs         wake 7: another worker",
        "weights         bb",
        "journalled      aa",
    ]


def test_runs_are_listed_one_a_line_whatever_is_known_of_them(outcome: Outcome) -> None:
    known = Run(outcome.folder, {"task": "examples.fashion_mnist.task:FashionMnist"}, 1.8e9, "done", outcome)
    unknown = Run(Path("runs/r-000"), {}, 1.7e9, "stopped", None)
    header, first, second = printed(reports.listed([known, unknown])).splitlines()
    assert header.split() == ["run", "status", "task", "result", "took", "started"]
    assert first.split()[:6] == ["r-7f3", "done", "FashionMnist", "test", "accuracy", "0.9012"]
    assert second.split()[:3] == ["r-000", "stopped", "?"]


def test_a_run_that_stopped_can_be_resumed(outcome: Outcome) -> None:
    spec = {
        "task": "a:B",
        "train": {"workers": 4, "quorum": {"static": {"k": 3}}, "optimizer": {"name": "sgd", "lr": 1}},
    }
    text = printed(reports.shown(Run(outcome.folder, spec, 1.8e9, "stopped", None)))
    assert text.startswith("stopped  r-7f3")
    assert "workers         4, quorum static: {k: 3}" in text
    assert "ripieno resume r-7f3" in text


def decided(round_: int, wait_for: int, why: str) -> Decided:
    return Decided(round_, 4, 4, 1, Decision(wait_for, why))


def closed(round_: int, wait_for: int) -> Closed:
    return Closed(round_, round_ * 1.0, round_ + 0.25, round_ + 0.5, wait_for, 4, 4, wait_for)


HISTORY: list[Decided | Closed] = [
    decided(1, 4, "too early"), closed(1, 4),
    decided(2, 3, "0.5 s a round"), closed(2, 3),
    decided(3, 3, "0.6 s a round"), closed(3, 3),
    decided(4, 4, "a worker left"), decided(4, 2, "it is back"), closed(4, 2),
]  # fmt: skip


def test_decisions_are_told_when_they_change() -> None:
    assert [line(span) for span in spans(HISTORY)] == [
        "            1         4        4        4          4    0.500 s  too early",
        "          2-3         4        4        3          3    0.500 s  0.5 s a round",
        "            4         4        4        2          2    0.500 s  it is back",
    ]
    assert [len(HEADER.partition("why")[0])] == [
        line(span).index(span.decided.decision.why) for span in spans(HISTORY)
    ][:1]


def test_all_decisions_are_told_on_request() -> None:
    assert [(span.first, span.decided.decision.why) for span in spans(HISTORY, every=True)] == [
        (1, "too early"),
        (2, "0.5 s a round"),
        (3, "0.6 s a round"),
        (4, "it is back"),
    ]


DONE = """
done  r-7f3  5 epochs · 4,690 rounds · 0:02:31

test accuracy   0.9012
test loss       0.2871
time saved      50% (0:02:31, not 0:05:02) against waiting for all for the same data; 56% for as many rounds
goodput         93% of the workers' results were used
model           runs/r-7f3/model.safetensors (sha256 3fa93fa93fa9…)
journal         runs/r-7f3/journal
MLflow          run 8c1

curves          mlflow ui --backend-store-uri sqlite:////data/mlflow.db
decisions       ripieno show r-7f3 --why
do again        ripieno replay r-7f3
"""

PLAN = """
task            examples.fashion_mnist.task:FashionMnist
model           421,642 parameters
data            60,000 samples
workers         4, quorum static: {k: 3}
cluster         this machine: needs 5 CPU; has 2 CPU
state           runs
tracking        sqlite:///mlflow.db

this run can start; nothing was started
"""

TROUBLED = """
goodput         93% of the workers' results were used, and 61% of their time
failed          1 lost worker, 2 non-finite; 1 retried
repeated        3 answers, each counted once
workers lost    1; 1 came back, or another in its place
worker back     4.20 s, until one in its place was in a round
engine back     12.0 s, 31.0 s at most, from its end to the first new round
memory          at most 412 MB for the engine's own process
"""
