"""The process that writes a run's record to MLflow: `python -m orchestrator.tracking.writer SOCKET`.

Started by `Link`, ended by its goodbye or its death. MLflow is imported in this process and nowhere else, so that
neither its start nor its silence is ever the engine's.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from orchestrator.journal import codec
from orchestrator.journal.records import Started
from orchestrator.tracking.description import started_ms
from orchestrator.tracking.final import Child, Final, ModelFiles
from orchestrator.tracking.identity import ParentMissing
from orchestrator.tracking.inbox import Inbox
from orchestrator.tracking.log import to_standard_error
from orchestrator.tracking.messages import Entries, Goodbye, Hello, Looked, Report, frame
from orchestrator.tracking.names import SYSTEM, accepted
from orchestrator.tracking.points import Point, points
from orchestrator.uris import printable

if TYPE_CHECKING:
    from orchestrator.tracking.mlflow_run import MlflowRun

# A server that is away costs seconds a try, not minutes; how often to try is decided here.
REQUEST_TIMEOUT_S, CATCHING_UP_TIMEOUT_S = 3, 60
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_S),
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "CUDA_VISIBLE_DEVICES": "",  # the model is exported on the CPU
}
LONGEST_PAUSE_S = 30.0
LOOK_EVERY_S = 5.0  # at the machine
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")
BATCH, SMALLEST_BATCH = 1000, 50  # metrics; a server too slow for the one may manage the other
ABANDONED = "abandoned"  # outcome of a run whose engine died; a resume goes on with it

_log = logging.getLogger("ripieno.tracking")
_T = TypeVar("_T")


class GaveUp(Exception):
    """The time for it is over, or MLflow refuses it for good."""


class Writer:
    """Records one run, with patience until its inbox's deadline."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._batch = BATCH
        self._catching_up = False
        self._zero_ms = 0  # Unix time at which the run's clock was 0
        self._stored: dict[str, set[tuple[int, int]]] = {}
        self._latest: dict[str, Point] = {}
        self._trouble = ""  # the last, told once
        self._over = False  # the time
        self._remarks: list[str] = []
        self._missing: dict[str, list[str]] = {}  # what, by the reason why

    def record(self) -> Report:
        """From the hello to the end of the line, and what could not be done."""
        what = "all of it"
        try:
            messages = self._inbox.take()
            hello = messages[0]
            assert isinstance(hello, Hello)
            started = codec.decode(hello.started)
            assert isinstance(started, Started)
            self._catching_up, self._zero_ms = hello.catching_up, started_ms(started)
            run = self._insist(lambda: _open(hello, started))
            what = "the latest figures, and how it ended"
            if not self._catching_up:
                threading.Thread(target=_watch_the_machine, args=(self._inbox, self._zero_ms), daemon=True).start()
            goodbye = self._log_all(run, messages)
        except GaveUp as error:
            while self._inbox.take():
                pass  # so that the engine's line never fills up
            return Report([f"{what} ({error})"], "")
        return self._conclude(run, started, goodbye.final if goodbye else Final(ABANDONED))

    def _conclude(self, run: MlflowRun, started: Started, final: Final) -> Report:
        """All that is left, the most wanted first; what MLflow refuses does not keep it from having the rest."""
        measured = {name: (self._zero_ms + round(now_s * 1000), step) for name, (now_s, step) in final.measured.items()}
        last = max(measured.values(), default=self._last(), key=lambda point: point[1])
        of_weights = [Point(accepted(name), value, *measured.get(name, last)) for name, value in final.metrics.items()]
        of_model = [point for point in of_weights if point.step == last[1]]  # others are of older weights
        points = of_weights + [Point(accepted(name), value, *last) for name, value in final.figures.items()]
        self._try("its last figures", lambda: run.log(points))
        self._try("how it ended", lambda: run.end(final.outcome, self._ended_ms() or final.ended_ms, final.tags))
        if artifacts := final.artifacts:
            self._try("its results", lambda: run.upload(artifacts))
        if model := final.model:
            logged = self._try("its model", lambda: _log_model(run, model, started.paths, of_model))
            if logged and (name := final.registered):
                self._try("its registry entry", lambda: _register(run, name, started.run))
        if children := final.children:
            self._try("its nested runs", lambda: _log_children(run, children, started.paths, self._zero_ms))
        missing = [f"{', '.join(whats)} ({reason})" for reason, whats in self._missing.items()]
        return Report(missing, " ".join(dict.fromkeys(self._remarks)))

    def _log_all(self, run: MlflowRun, messages: Sequence[object]) -> Goodbye | None:
        """Logs what is in these messages and in all that follow; None: the engine died without a goodbye."""
        pending: deque[Point] = deque()
        goodbye: Goodbye | None = None
        while messages:
            for message in messages:
                if isinstance(message, Entries):
                    pending.extend(point for entry in message.entries for point in points(entry, self._zero_ms))
                elif isinstance(message, Looked):
                    pending.extend(message.points)
                elif isinstance(message, Goodbye):
                    goodbye = message
            while pending:
                for point in self._insist(lambda: self._log_some(run, pending)):
                    if not point.key.startswith(SYSTEM):
                        self._latest[point.key] = point
                    pending.popleft()
            messages = self._inbox.take()
        return goodbye

    def _log_some(self, run: MlflowRun, pending: deque[Point]) -> list[Point]:
        """Logs the first points, fewer of them after a failure; returns those that are done."""
        batch = list(islice(pending, self._batch))
        try:
            if new := [point for point in batch if not self._has(run, point)]:
                run.log(new)
        except Exception:
            self._batch = max(SMALLEST_BATCH, self._batch // 2)
            raise
        self._batch = min(BATCH, 2 * self._batch)
        return batch

    def _has(self, run: MlflowRun, point: Point) -> bool:
        """Whether MLflow had this point before we began; not asked in the normal case, where nothing comes twice."""
        if not self._catching_up:
            return False
        if point.key not in self._stored:
            self._stored[point.key] = run.stored(point.key)
        return (point.timestamp_ms, point.step) in self._stored[point.key]

    def _last(self) -> tuple[int, int]:
        """Time and step of the last point that was told."""
        return self._ended_ms() or self._zero_ms, max((point.step for point in self._latest.values()), default=0)

    def _ended_ms(self) -> int | None:
        return max((point.timestamp_ms for point in self._latest.values()), default=None)

    def _try(self, what: str, attempt: Callable[[], str | None]) -> bool:
        """Whether it is done, noting its remark; else it is noted as missing, untried once the time is over."""
        try:
            if self._over:
                raise GaveUp(self._trouble)
            remark = self._insist(attempt)
        except GaveUp as error:
            self._missing.setdefault(str(error), []).append(what)
            return False
        self._remarks += [remark] if remark else []
        return True

    def _insist(self, attempt: Callable[[], _T]) -> _T:
        """Tries until it succeeds, with ever longer pauses. Raises GaveUp."""
        pause_s = 1.0
        while True:
            try:
                return attempt()
            except Exception as error:
                reason = _in_short(error)
                if reason != self._trouble:
                    _log.warning("attempt_failed", exc_info=True)
                self._trouble = reason
                if self._is_in_vain(error):
                    raise GaveUp(reason) from error
                if not self._inbox.pause(pause_s):
                    self._over = True
                    raise GaveUp(reason) from error
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _is_in_vain(self, error: Exception) -> bool:
        """Whether asking again would change nothing; nobody else is at work while a run catches up."""
        refused = getattr(error, "error_code", "") in REFUSALS
        return refused or isinstance(error, FileNotFoundError) or (self._catching_up and type(error) is ParentMissing)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[to_standard_error()])
    os.nice(5)  # the engine comes first
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `ray job stop` sends it to all; the end of the line ends this one
    os.environ.update(ENVIRONMENT)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        inbox = Inbox(connection.makefile("rb"))
        threading.Thread(target=_end_when_overdue, args=(inbox,), daemon=True).start()
        report = Writer(inbox).record()
        with contextlib.suppress(OSError):  # the engine has gone
            connection.sendall(frame(report))


def _end_when_overdue(inbox: Inbox) -> None:
    """Whatever hangs, no writer is left behind by an engine that has gone."""
    inbox.wait_until_overdue()
    os._exit(1)


def _watch_the_machine(inbox: Inbox, zero_ms: int) -> None:
    """Until the line has ended; what cannot be looked at is left out."""
    try:
        from orchestrator.tracking.system import System

        system = System(zero_ms)
        while not inbox.ends_within(LOOK_EVERY_S):
            inbox.put(Looked(list(system.points())))
    except Exception:
        _log.warning("machine_not_watched", exc_info=True)


def _open(hello: Hello, started: Started) -> MlflowRun:
    if hello.catching_up:  # reads long histories, and nobody trains meanwhile
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(CATCHING_UP_TIMEOUT_S)
    from orchestrator.tracking.mlflow_run import open_run  # also where MLflow is missing, that is only a failure

    return open_run(hello, started)


def _log_model(run: MlflowRun, files: ModelFiles, paths: Sequence[str], final: Sequence[Point]) -> str:
    from orchestrator.tracking.model import log_model

    return log_model(run, files, paths, final)


def _register(run: MlflowRun, name: str, our_run: str) -> None:
    from orchestrator.tracking.registry import register

    register(run, name, our_run)


def _log_children(run: MlflowRun, children: Sequence[Child], paths: Sequence[str], zero_ms: int) -> str:
    from orchestrator.tracking.children import log_children

    return log_children(run, children, paths, zero_ms)


def _in_short(error: Exception) -> str:
    first, *_ = str(error).splitlines() or [""]
    return printable(f"{type(error).__name__}: {first}")[:500]


if __name__ == "__main__":
    main()
