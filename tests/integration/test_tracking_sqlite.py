"""Real runs in a real MLflow on SQLite, written by the real writer process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from orchestrator.tracking import Destination, Final, Tracker
from orchestrator.tracking.description import started_ms
from orchestrator.tracking.identity import load_identity
from tests.support.tracking import (
    only_run,
    plain_rounds,
    points_of,
    sqlite_uri,
    started,
    stored_points,
    track,
    training,
    until,
)

PATIENCE_S = 100.0  # MLflow's first start is slow on a busy machine


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    return Destination(sqlite_uri(tmp_path), "experiment")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "r-1"
    folder.mkdir(parents=True)
    return folder


def test_a_run_is_recorded_whole_and_goes_on_after_a_resume(folder: Path, destination: Destination) -> None:
    history = training(seed=1, stormy=True)
    half = len(history) // 2

    tracker = Tracker.start(started(), folder, destination)
    track(tracker, history[:half])
    first = tracker.finish(Final("interrupted"), PATIENCE_S)
    assert first.complete, first.message
    assert first.mlflow_run_id == load_identity(folder, destination.uri)
    client = MlflowClient(destination.uri)
    assert client.get_run(first.mlflow_run_id).info.status == "KILLED"

    tracker = Tracker.start(started(), folder, destination)
    track(tracker, history[half - 20 :])  # what came after the last snapshot is seen again
    last = history[-1][1].rows[-1].metrics
    report = tracker.finish(Final("done", {**last, "goodput": 0.8}), PATIENCE_S)
    assert report.complete, report.message
    assert report.mlflow_run_id == first.mlflow_run_id

    run = only_run(client, "experiment")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "r-1")
    assert run.data.tags["ripieno.outcome"] == "done"
    assert run.data.tags["ripieno.dirty"] == "true"
    assert run.data.params["train.optimizer.lr"] == "0.05"
    assert run.data.params["storage"] == "s3://bucket"
    assert "secret" not in mlflow.artifacts.load_text(f"{run.info.artifact_uri}/spec.json")
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["spec.json"]
    assert run.info.artifact_uri.startswith((folder.parent.parent / "mlartifacts").as_uri())
    stored = stored_points(client, run.info.run_id)
    whole = set(points_of(history))
    missing = whole - set(stored)
    assert set(stored) - whole == {point for point in stored if point.key == "goodput"}
    assert len({point.step for point in missing}) <= 2  # spans that nobody saw all of
    assert all("/" in point.key for point in missing)
    assert len(stored) == len(whole) - len(missing) + 1
    assert [point.value for point in stored if point.key == "goodput"] == [0.8]


def test_an_engine_that_saw_nothing_of_the_run_says_its_last_figures_where_they_were(
    folder: Path, destination: Destination
) -> None:
    """Killed after its last wake: its successor has nothing to do but to tell."""
    final = Final("done", {"loss": 0.5}, figures={"run/goodput": 0.8}, measured={"loss": (2.5, 7)})
    for _ in range(2):
        assert Tracker.start(started(), folder, destination).finish(final, PATIENCE_S).complete
    client = MlflowClient(destination.uri)
    stored = stored_points(client, only_run(client, "experiment").info.run_id)
    assert [(point.key, point.value, point.step) for point in stored] == [("loss", 0.5, 7), ("run/goodput", 0.8, 7)]
    assert {point.timestamp_ms - started_ms(started()) for point in stored} == {2500}


def test_runs_that_start_at_once_on_no_database_share_one(tmp_path: Path, destination: Destination) -> None:
    trackers = []
    for number in range(3):
        folder = tmp_path / "runs" / f"r-{number}"
        folder.mkdir(parents=True)
        trackers.append(Tracker.start(started(folder.name), folder, destination))
    for tracker in trackers:
        track(tracker, plain_rounds(1, 3))
    reports = [tracker.finish(Final("done"), PATIENCE_S) for tracker in trackers]
    assert all(report.complete for report in reports), reports
    client = MlflowClient(destination.uri)
    for report in reports:
        assert report.mlflow_run_id is not None
        assert stored_points(client, report.mlflow_run_id) == sorted(points_of(plain_rounds(1, 3)))


def test_catching_up_sends_what_is_missing_and_nothing_twice(folder: Path, destination: Destination) -> None:
    history = plain_rounds(1, 2500)
    tracker = Tracker.start(started(), folder, destination)
    track(tracker, history[:300] + history[900:1400])
    assert tracker.finish(Final("failed"), PATIENCE_S).complete

    tracker = Tracker.catch_up(started(), folder, destination, PATIENCE_S)
    track(tracker, history)
    report = tracker.finish(Final("done", {"loss": 1 / 2500}), PATIENCE_S)
    assert report.complete, report.message
    client = MlflowClient(destination.uri)
    run = only_run(client, "experiment")
    assert run.info.status == "FINISHED"
    assert stored_points(client, run.info.run_id) == sorted(points_of(history))


ENGINE = """
import sys, time
from pathlib import Path
from orchestrator.tracking import Destination, Final, Tracker
from tests.support.tracking import plain_rounds, started
tracker = Tracker.start(started(), Path(sys.argv[1]), Destination(sys.argv[2], "experiment"))
for wake, actions in plain_rounds(1, 1000):
    tracker.seen(wake, actions)
print("seen", flush=True)
time.sleep(600)
"""


def test_when_the_engine_is_killed_what_it_handed_over_is_recorded(folder: Path, destination: Destination) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(folder), destination.uri],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert engine.stdout is not None
    assert engine.stdout.readline() == b"seen\n"
    until(lambda: load_identity(folder, destination.uri), PATIENCE_S)
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    client = MlflowClient(destination.uri)
    run_id = load_identity(folder, destination.uri)
    until(lambda: client.get_run(run_id).info.status == "KILLED", PATIENCE_S)
    assert client.get_run(run_id).data.tags["ripieno.outcome"] == "abandoned"
    assert stored_points(client, run_id) == sorted(points_of(plain_rounds(1, 1000)))


def test_a_run_that_was_deleted_in_mlflow_is_said_to_be_missing(folder: Path, destination: Destination) -> None:
    tracker = Tracker.start(started(), folder, destination)
    run_id = until(lambda: load_identity(folder, destination.uri), PATIENCE_S)
    MlflowClient(destination.uri).delete_run(run_id)
    track(tracker, plain_rounds(1, 3))
    report = tracker.finish(Final("done"), PATIENCE_S)
    assert not report.complete
    assert "active" in report.message
    assert "ripieno track sync r-1" in report.message
