"""MLflow is not there, hangs, fails or comes back: the engine's loop never notices, and the record catches up.

That `seen` returns is the point: each loop below runs to its end while the server is in the state it is in.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.records import Actions, Row, Wake
from orchestrator.tracking import Destination, Final, Tracker
from orchestrator.tracking.identity import load_identity
from orchestrator.tracking.tracker import HAND_OVER_ENTRIES, LOG
from tests.support.mlflow_server import MlflowServer
from tests.support.tracking import History, only_run, plain_rounds, points_of, started, stored_points, track, until

PATIENCE_S = 100.0  # an MLflow server takes ten seconds to start, more on a busy machine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "r-1"
    folder.mkdir(parents=True)
    return folder


def rounds(part: int) -> History:
    """So many that they are handed over at once."""
    return plain_rounds(part * HAND_OVER_ENTRIES + 1, (part + 1) * HAND_OVER_ENTRIES)


def failed_attempts(folder: Path) -> int:
    """How many different failures the writer has met, by its own log."""
    return (folder / LOG).read_text().count("attempt_failed")


def test_a_server_may_be_absent_hang_die_and_come_back(tmp_path: Path, folder: Path) -> None:
    server = MlflowServer(tmp_path)
    tracker = Tracker.start(started(), folder, Destination(server.uri, "experiment"))
    track(tracker, rounds(0))  # absent
    server.start()
    try:
        until(server.healthy, PATIENCE_S)
        client = MlflowClient(server.uri)

        def latest_step() -> int:
            """The last step that the server has; 0: none, or it does not answer."""
            run_id = load_identity(folder, server.uri)
            history = client.get_metric_history(run_id, "loss") if run_id else []
            return max((metric.step for metric in history), default=0)

        until(lambda: latest_step() > 0, PATIENCE_S)

        failures = failed_attempts(folder)
        server.signal(signal.SIGSTOP)
        track(tracker, rounds(1))  # hanging
        until(lambda: failed_attempts(folder) > failures, PATIENCE_S)
        server.signal(signal.SIGCONT)
        until(lambda: latest_step() > HAND_OVER_ENTRIES, PATIENCE_S)

        server.stop()
        track(tracker, rounds(2))  # dead
        server.start()
        report = tracker.finish(Final("done"), PATIENCE_S)
        assert report.complete, report.message
        run = only_run(client, "experiment")
        assert run.info.run_id == report.mlflow_run_id
        assert run.info.status == "FINISHED"
        expected = [point for part in range(3) for point in points_of(rounds(part))]
        assert stored_points(client, run.info.run_id) == sorted(expected)
    finally:
        server.stop()


@contextmanager
def failing_server() -> Iterator[tuple[str, list[str]]]:
    """Answers everything with 500, and tells what it was asked."""
    asked: list[str] = []

    class Failing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_error(500)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_only_fails_is_named_at_the_end_with_what_to_do(folder: Path) -> None:
    with failing_server() as (uri, asked):
        tracker = Tracker.start(started(), folder, Destination(uri, "experiment"))
        until(lambda: asked, PATIENCE_S)
        track(tracker, rounds(0))
        report = tracker.finish(Final("done"), timeout_s=10.0)
    assert not report.complete
    assert report.mlflow_run_id is None
    assert uri in report.message
    assert "500" in report.message
    assert "ripieno track sync r-1" in report.message


def test_a_server_that_never_answers_is_waited_for_no_longer_than_asked(folder: Path) -> None:
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = Tracker.start(started(), folder, Destination(uri, "experiment"))
        connection, _ = silent.accept()  # the writer is now waiting for an answer
        with closing(connection):
            track(tracker, rounds(0))
            report = tracker.finish(Final("done"), timeout_s=0.5)
    assert not report.complete
    assert "ripieno track sync r-1" in report.message


def test_without_mlflow_a_run_goes_on_unrecorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mlflow.py").write_text("raise ModuleNotFoundError('No module named mlflow')")
    monkeypatch.syspath_prepend(folder)
    tracker = Tracker.start(started(), folder, Destination("http://127.0.0.1:1", "experiment"))
    track(tracker, rounds(0))
    report = tracker.finish(Final("done"), timeout_s=10.0)
    assert not report.complete
    assert "No module named mlflow" in report.message


def test_what_cannot_be_sent_does_not_raise(folder: Path) -> None:
    tracker = Tracker.start(started(), folder, Destination("http://127.0.0.1:1", "experiment"))
    row = Row(1, {"loss": object()})  # type: ignore[dict-item]
    for _ in range(HAND_OVER_ENTRIES):
        tracker.seen(Wake(0.0, ()), Actions((), (), rows=[row]))
    report = tracker.finish(Final("done", {"loss": object()}), timeout_s=10.0)  # type: ignore[dict-item]
    assert not report.complete
    assert "could not be sent" in report.message


def test_without_a_writer_a_run_goes_on_unrecorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(folder / "no-such-python"))
    tracker = Tracker.start(started(), folder, Destination("http://127.0.0.1:1", "experiment"))
    track(tracker, rounds(0))
    report = tracker.finish(Final("done"), timeout_s=60.0)
    assert not report.complete
    assert "no-such-python" in report.message


def test_with_a_writer_that_dies_a_run_goes_on_unrecorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    tracker = Tracker.start(started(), folder, Destination("http://127.0.0.1:1", "experiment"))
    for part in range(3):
        track(tracker, rounds(part))
    report = tracker.finish(Final("done"), timeout_s=60.0)
    assert not report.complete


def test_a_writer_that_does_not_read_costs_figures_and_no_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "deaf").write_text("#!/bin/sh\nexec sleep 600\n")
    (folder / "deaf").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "deaf"))
    tracker = Tracker.start(started(), folder, Destination("http://127.0.0.1:1", "experiment"))
    history = rounds(0)
    for _ in range(300):  # more than the line and the outbox hold
        track(tracker, history)
    report = tracker.finish(Final("done"), timeout_s=0.5)
    assert not report.complete
    assert "no room" in report.message
