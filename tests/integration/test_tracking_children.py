"""The nested runs of a run are in MLflow once each, wherever their recording was cut off before."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestrator.journal import codec
from orchestrator.tracking import Child, Destination, Final, Tracker
from orchestrator.tracking.children import KEY, log_children
from orchestrator.tracking.identity import load_identity
from orchestrator.tracking.messages import Hello
from orchestrator.tracking.mlflow_run import MlflowRun, open_run
from tests.support.tracking import STARTED_MS, plain_rounds, sqlite_uri, started, stored_points, track, until

PATIENCE_S = 100.0  # MLflow's first start is slow on a busy machine
MANY = 40  # children, seconds of work for MLflow


def children(count: int) -> list[Child]:
    """Trials of three segments each."""
    return [
        Child(
            key=f"trial-{number}",
            name=f"trial {number}",
            params={"optimizer.lr": f"0.{number}", "width": "8"},
            metrics=[("accuracy", number / 10 + step / 100, step) for step in range(3)] + [("lambda.client-3", 0.5, 2)],
            started_s=float(number),
            ended_s=number + 2.5,
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tests of this file use one database, whose making takes seconds."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def folder(state: Path, request: pytest.FixtureRequest) -> Path:
    folder = state / "runs" / str(request.node.name)
    folder.mkdir(parents=True)
    return folder


def nested(client: MlflowClient, run_id: str) -> list[Run]:
    """The runs below this one, in order of their keys."""
    experiment_id = client.get_run(run_id).info.experiment_id
    found = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{run_id}'")
    return sorted(found, key=lambda run: run.data.tags[KEY])


def assert_recorded_once(client: MlflowClient, run_id: str, expected: list[Child]) -> None:
    expected = sorted(expected, key=lambda child: child.key)
    found = nested(client, run_id)
    assert [run.data.tags[KEY] for run in found] == [child.key for child in expected]
    for run, child in zip(found, expected, strict=True):
        assert (run.info.run_name, run.info.status) == (child.name, "FINISHED")
        assert run.data.params == child.params
        stored = {(point.key, point.value, point.step) for point in stored_points(client, run.info.run_id)}
        assert stored == set(child.metrics)
        assert len(stored_points(client, run.info.run_id)) == len(child.metrics)
        assert (run.info.start_time, run.info.end_time) == (
            STARTED_MS + child.started_s * 1000,
            STARTED_MS + child.ended_s * 1000,
        )


class Lost(Exception):
    """The answer did not come."""


class LosingClient(MlflowClient):
    """Loses its (n + 1)-th answer to a request that writes, after it was carried out."""

    def __init__(self, uri: str, answers: int) -> None:
        super().__init__(uri)
        self.answers = answers

    def _answered(self, answer: Any) -> Any:
        self.answers -= 1
        if self.answers == -1:
            raise Lost
        return answer

    def create_run(self, *args: Any, **kwargs: Any) -> Run:
        return self._answered(super().create_run(*args, **kwargs))

    def log_batch(self, *args: Any, **kwargs: Any) -> Any:
        return self._answered(super().log_batch(*args, **kwargs))

    def set_terminated(self, *args: Any, **kwargs: Any) -> None:
        self._answered(super().set_terminated(*args, **kwargs))


def test_a_child_is_recorded_once_whichever_answer_was_lost(folder: Path, state: Path) -> None:
    expected, lost = children(2), 0
    for answers in range(20):
        name = f"r-{answers}"
        (folder / name).mkdir()
        hello = Hello(codec.encode(started(name)), folder / name, sqlite_uri(state), "lost answers", False)
        run = open_run(hello, started(name))
        try:
            log_children(MlflowRun(LosingClient(hello.uri, answers), run.run_id), expected, [], STARTED_MS)
        except Lost:
            lost += 1
        log_children(run, expected, [], STARTED_MS)
        assert_recorded_once(run.client, run.run_id, expected)
        if lost == answers:
            break
    assert lost == answers == 8, "made, logged, tagged and ended, twice"


def writers() -> list[psutil.Process]:
    """Of this process, which may have other children, dead ones among them."""
    children = psutil.Process().children()
    return [child for child in children if child.is_running() and "orchestrator.tracking.writer" in _words(child)]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.ZombieProcess:
        return []


def test_a_writer_killed_among_the_children_is_made_good_by_the_next(folder: Path, state: Path) -> None:
    destination = Destination(sqlite_uri(state), "killed")
    expected = children(MANY)
    tracker = Tracker.start(started(), folder, destination)
    track(tracker, plain_rounds(1, 3))
    run_id = until(lambda: load_identity(folder, destination.uri), PATIENCE_S)
    client = MlflowClient(destination.uri)
    reports = []
    finishing = threading.Thread(
        target=lambda: reports.append(tracker.finish(Final("done", children=expected), PATIENCE_S))
    )
    finishing.start()
    until(lambda: len(nested(client, run_id)) > 2, PATIENCE_S)
    (writer,) = writers()
    writer.send_signal(signal.SIGKILL)
    finishing.join()
    assert not reports[0].complete
    assert "ripieno track sync r-1" in reports[0].message
    assert len(nested(client, run_id)) < MANY

    for begin in (Tracker.start(started(), folder, destination), Tracker.catch_up(started(), folder, destination, 1.0)):
        track(begin, plain_rounds(1, 3))
        report = begin.finish(Final("done", children=expected), PATIENCE_S)
        assert report.complete, report.message
        assert_recorded_once(client, run_id, expected)


def test_a_search_of_runs_shows_whose_children_they_are(folder: Path, state: Path) -> None:
    destination = Destination(sqlite_uri(state), "nesting")
    tracker = Tracker.start(started(), folder, destination)
    track(tracker, plain_rounds(1, 3))
    report = tracker.finish(Final("done", children=children(2)), PATIENCE_S)
    mlflow.set_tracking_uri(destination.uri)
    table = mlflow.search_runs(experiment_names=["nesting"], output_format="pandas").set_index("tags.mlflow.runName")
    parents = table["tags.mlflow.parentRunId"]
    assert parents["trial 0"] == parents["trial 1"] == table.run_id["r-1"] == report.mlflow_run_id
    assert parents.isna()["r-1"]
    assert table["tags.mlflow.user"].nunique() == 1
    assert table["metrics.accuracy"]["trial 1"] == pytest.approx(0.12)
