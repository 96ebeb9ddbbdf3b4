"""Our engine as `ripieno run` drives it, on local processes, stopped between windows by an observer that holds it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Self

from benchmarks.step_overhead.task import BATCH_SIZE, OPTIMIZER, SAMPLES, SEED, WARM_UP, WIDTHS
from cluster.launchers import LocalProcesses, Member, Watcher
from cluster.shared_memory import SharedFolder
from orchestrator.journal.records import Started
from orchestrator.lifecycle import start
from orchestrator.outcome import Outcome
from orchestrator.protocols import Observer, Pool
from orchestrator.records import Actions, Joined, Wake
from orchestrator.spec import Spec
from orchestrator.workers import open_pool_of

Wrap = Callable[[Pool], Pool]


class Windows:
    """Lets the engine go on for a number of steps at a time, and takes the time of the last ones of each."""

    def __init__(self, workers: int) -> None:
        self._missing = workers + 1  # with the aggregator
        self._left, self._steps, self._started_s = 1, 0, 0.0
        self.asked: SimpleQueue[int] = SimpleQueue()
        self._taken_s: SimpleQueue[float] = SimpleQueue()

    def taken_s(self) -> float:
        """What the next window took; waits for it. The first, of 0 s, is over when everybody is there."""
        taken_s = self._taken_s.get()
        assert not isnan(taken_s), "the run ended"
        return taken_s

    def ended(self) -> None:
        """There will be no more windows: for whoever waits for one."""
        self._taken_s.put(nan)

    def seen(self, wake: Wake, actions: Actions) -> None:
        if self._missing:
            self._missing -= sum(type(event) is Joined for event in wake.events)
            if not self._missing:
                self._taken_s.put(0.0)
                self._next()
        elif actions.rows:
            self._left -= 1
            if self._left == self._steps:
                self._started_s = time.perf_counter()
            if self._left == 0:
                self._taken_s.put(time.perf_counter() - self._started_s)
                self._next()

    def _next(self) -> None:
        """0 steps: to the end."""
        self._steps = self.asked.get()
        self._left = self._steps + WARM_UP if self._steps else -1


class Ours:
    """A run of so many steps in a thread. wrap: around its pool; entry: of its workers, "" for the usual one."""

    def __init__(
        self,
        folder: Path,
        size: str,
        workers: int,
        samples: int,
        *,
        observers: Sequence[Observer] = (),
        wrap: Wrap = lambda pool: pool,
        entry: str = "",
    ) -> None:
        os.environ[SAMPLES] = str(samples)  # for its processes, and for this one
        self._spec = Spec.model_validate(
            {
                "task": "benchmarks.step_overhead.task:Layers",
                "train": {
                    "workers": workers,
                    "min_workers": workers,
                    "batch_size": BATCH_SIZE,
                    "quorum": "full",
                    "optimizer": {"name": "sgd", **OPTIMIZER},
                    "epochs": 1.0,
                    "model": {"width": WIDTHS[size]},
                },
                "tracking": {"enabled": False},
                "state": str(folder),
                "seed": SEED,
            }
        )
        self._windows = Windows(workers)
        self._observers, self._wrap, self._entry = [*observers, self._windows], wrap, entry
        self._outcome: Outcome | None = None
        self._thread = Thread(target=self._run)
        self._thread.start()
        self._windows.taken_s()

    def window(self, steps: int) -> float:
        """Seconds of a step, mean over `steps`."""
        self._windows.asked.put(steps)
        return self._windows.taken_s() / steps

    def finish(self) -> Outcome:
        """Goes on to the end of the run."""
        self._windows.asked.put(0)
        self._thread.join()
        assert self._outcome is not None
        return self._outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._thread.is_alive():
            self.finish()

    def _run(self) -> None:
        try:
            self._outcome = start(self._spec, open_pool=self._open, observers=self._observers)
        finally:
            self._windows.ended()

    def _open(self, started: Started, spec: Spec, values: SharedFolder) -> Pool:
        return self._wrap(open_pool_of(started, spec, values, _Entered(self._entry)))


class _Entered(LocalProcesses):
    """Local processes that begin at another entry."""

    def __init__(self, entry: str) -> None:
        super().__init__()
        self._entry = entry

    def start(self, members: Sequence[Member], watcher: Watcher) -> None:
        super().start([replace(member, entry=self._entry or member.entry) for member in members], watcher)
