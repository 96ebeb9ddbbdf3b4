"""What tracking costs: rounds/s with it on over rounds/s with it off, with an MLflow server on the same machine.

One engine with real worker processes goes on for a window at a time, with a tracker that is shown the wakes or not; the
two in random order, a pair after another. Between windows nobody works until the writer and the server have nothing
left to do, so that no window pays for another. What they leave for after a window is in `written after, s`.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import psutil
from torch import Tensor, nn

from benchmarks.harness import Report, Target
from benchmarks.step_overhead.ours import Windows
from benchmarks.step_overhead.task import SAMPLES, Layers
from cluster.launchers import LocalProcesses
from cluster.shared_memory import SharedFolder
from orchestrator.journal.records import Started
from orchestrator.lifecycle import start
from orchestrator.protocols import Pool
from orchestrator.records import Actions, Wake
from orchestrator.spec import Spec
from orchestrator.tracking import Destination, Final, Tracker
from orchestrator.workers import open_pool_of
from tests.support.mlflow_server import MlflowServer
from tests.support.tracking import until

WINDOW_S = 3.0
PATIENCE_S = 120.0
IDLE_S, IDLE_SHARE = 0.5, 0.1  # so long, and less than such a share of a core, is nothing to do


class Waiting(Layers):
    """A gradient waits 5 ms, as for a GPU, and leaves the processor to others."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        time.sleep(0.005)
        return super().loss(model, batch)


CASES: Mapping[str, Mapping[str, Any]] = {
    "workers that wait 5 ms, as for a GPU": {"task": "benchmarks.tracking:Waiting", "batch": 16, "width": 108},
    "workers that fill both cores": {"task": "benchmarks.step_overhead.task:Layers", "batch": 96, "width": 349},
}


def measure(*, quick: bool) -> Report:
    pairs = 4 if quick else 24
    report = Report("tracking", {"quick": quick, "pairs": pairs, "window_s": WINDOW_S, "store": "server on SQLite"})
    with tempfile.TemporaryDirectory() as name, _server(Path(name)) as server:
        for case, settings in CASES.items():
            for workers in (2, 4):
                row = _measured(Path(name), server, settings, workers, pairs)
                report.rows.append({"case": case, "workers": workers, **row})
                target = f"rounds/s, tracking on / off, {workers} {case}"
                report.targets.append(Target(target, row["on / off"], 0.97, "higher"))
    return report


@contextmanager
def _server(folder: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(folder)
    server.start()
    try:
        until(server.healthy, PATIENCE_S)
        yield server
    finally:
        server.stop()


class _Engine:
    """A run in a thread, held between windows; its tracker sees the wakes while `on`."""

    def __init__(self, folder: Path, uri: str, settings: Mapping[str, Any], workers: int) -> None:
        self.on = self._over = False
        self._uri, self._folder = uri, folder
        self._windows = Windows(workers)
        self._spec = Spec.model_validate(
            {
                "task": settings["task"],
                "train": {
                    "workers": workers,
                    "min_workers": workers,
                    "batch_size": settings["batch"],
                    "quorum": "full",
                    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
                    "epochs": 1_000_000.0,
                    "evaluate_every": {"rounds": 1_000_000},
                    "model": {"width": settings["width"]},
                },
                "tracking": {"enabled": False},  # by the run itself
                "state": str(folder),
            }
        )
        self._thread = Thread(target=self._run)
        self._thread.start()
        self._windows.taken_s()

    def window(self, rounds: int, *, on: bool) -> float:
        """Rounds/s."""
        self.on = on
        self._windows.asked.put(rounds)
        return rounds / self._windows.taken_s()

    def finish(self) -> None:
        self._over = True
        self._windows.asked.put(0)
        self._thread.join()
        report = self.tracker.finish(Final("done"), PATIENCE_S)
        assert report.complete, report.message

    def seen(self, wake: Wake, actions: Actions) -> None:
        if self.on:
            self.tracker.seen(wake, actions)

    def __call__(self) -> bool:
        return self._over

    def notify(self, callback: Callable[[], None]) -> None:
        """The loop looks for itself."""

    def _run(self) -> None:
        try:
            start(self._spec, open_pool=self._open, observers=[self, self._windows], stop=self)
        finally:
            self._windows.ended()

    def _open(self, started: Started, spec: Spec, values: SharedFolder) -> Pool:
        folder = self._folder / started.run
        self.tracker = Tracker.start(started, folder, Destination(self._uri, "benchmark"))
        until((folder / "mlflow.json").exists, PATIENCE_S)  # its start is not what is measured
        return open_pool_of(started, spec, values, LocalProcesses())


def _measured(
    folder: Path, server: MlflowServer, settings: Mapping[str, Any], workers: int, pairs: int
) -> dict[str, Any]:
    os.environ[SAMPLES] = str(400 * settings["batch"])  # the workers read it, and this process
    engine = _Engine(folder, server.uri, settings, workers)
    draw = random.Random(workers)
    rates: dict[bool, list[float]] = {True: [], False: []}
    after_s: list[float] = []
    rounds = max(20, round(WINDOW_S * engine.window(100, on=False)))
    for _ in range(pairs):
        for on in draw.sample((True, False), 2):
            rates[on].append(engine.window(rounds, on=on))
            waited_s = _wait_until_idle(server.pid)
            if on:
                after_s.append(waited_s)
    engine.finish()
    ratios = sorted(on / off for on, off in zip(rates[True], rates[False], strict=True))
    return {
        "round, ms": 1e3 / median(rates[False]),
        "rounds/s off": median(rates[False]),
        "rounds/s on": median(rates[True]),
        "on / off": median(ratios),
        "quartiles": f"{ratios[len(ratios) // 4]:.3f} to {ratios[-1 - len(ratios) // 4]:.3f}",
        "written after, s": median(after_s),
    }


def _wait_until_idle(server: int) -> float:
    """Seconds until writer and server have nothing left to do."""
    ours = psutil.Process().children(recursive=True)
    writers = [child for child in ours if "orchestrator.tracking.writer" in child.cmdline()]
    others = psutil.Process(server).children(recursive=True)

    def used_s() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in (*writers, *others))

    started_s, before_s = time.monotonic(), used_s()
    while True:
        time.sleep(IDLE_S)
        now_s = used_s()
        if now_s - before_s < IDLE_SHARE * IDLE_S:
            return time.monotonic() - started_s - IDLE_S
        before_s = now_s
