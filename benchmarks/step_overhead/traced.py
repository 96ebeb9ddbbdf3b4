"""Where a step's time goes: stamps of one clock, in the workers as metrics of their results and around the pool.

The way through a step is that of the gradient that came in last, then that of the aggregate. A run with stamps is
slower than one without: its stages are shares, and no step that is compared to DDP's has any.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar

from cluster.sessions import WorkerSession
from orchestrator.pools.execute import Execute
from orchestrator.protocols import Pool
from orchestrator.records import Actions, Assignment, Ref, Result, Wake, Work
from orchestrator.worker import WorkerSettings, prepare, work_for_engine

T = TypeVar("T")

ENTRY = "benchmarks.step_overhead.traced:serve"

STAGES = (
    "assignment out",
    "weights in",
    "forward/backward",
    "gradient out",
    "result in",
    "engine + journal",
    "aggregate",
    "sweep",
)
"""The sweep, of what nobody holds any more, comes after the next work was given out: beside the way, not on it."""


def serve(argument: str) -> None:
    """The entry of workers that stamp."""
    from trainers.flat import FlatModel

    gradient = import_module("trainers.kinds.gradient")  # the name is the function's, in the package

    settings = WorkerSettings.from_json(argument)
    assert settings.training is not None
    stamps: dict[str, float] = {}

    def stamped(name: str, function: Callable[..., T]) -> Callable[..., T]:
        @wraps(function)
        def call(*args: Any, **options: Any) -> T:
            result = function(*args, **options)
            stamps[name] = time.monotonic()
            return result

        return call

    FlatModel.load = stamped("loaded", FlatModel.load)  # type: ignore[method-assign]
    gradient.backward = stamped("computed", gradient.backward)  # type: ignore[attr-defined]
    make_execute = prepare(settings.training, settings.role)

    def make(session: WorkerSession) -> Execute:
        execute = make_execute(session)

        def timed(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
            stamps.clear()
            begun = time.monotonic()
            outputs, metrics = execute(work)
            return outputs, {**metrics, "begun": begun, **stamps, "done": time.monotonic()}

        return timed

    work_for_engine(settings, make)


class Trace:
    """An observer, and a wrapping of the pool: what each step's stages took, in ms."""

    def __init__(self) -> None:
        self._given_s: dict[int, float] = {}
        self._woke_s = self._submitted_s = 0.0
        self._ways: dict[str, list[float]] = defaultdict(list)
        self._last: dict[str, float] = {}

    def around(self, pool: Pool) -> Pool:
        return _Stamping(pool, self)

    def woke(self) -> None:
        self._woke_s = time.monotonic()

    def submitting(self, assignments: Sequence[Assignment]) -> None:
        self._submitted_s = time.monotonic()
        self._given_s.update((assignment.work.id, self._submitted_s) for assignment in assignments)

    def submitted(self) -> None:
        self._submitted_s = time.monotonic()

    def seen(self, wake: Wake, actions: Actions) -> None:
        for event in wake.events:
            if type(event) is Result and "begun" in event.metrics:
                self._result(event)
        self._last["sweep"] = self._last.get("sweep", 0.0) + time.monotonic() - self._submitted_s

    def stages_ms(self, first: int) -> Mapping[str, float]:
        """Medians over the steps from number `first` on."""
        return {stage: statistics.median(self._ways[stage][first:]) * 1e3 for stage in STAGES}

    def _result(self, result: Result) -> None:
        stamps, last = result.metrics, self._last
        out_s = stamps["begun"] - self._given_s.pop(result.work_id)
        in_s = self._woke_s - stamps["done"]
        engine_s = self._submitted_s - self._woke_s
        if "computed" in stamps:  # a gradient; the last one of a step stays
            last.update(
                {
                    "assignment out": out_s,
                    "weights in": stamps["loaded"] - stamps["begun"],
                    "forward/backward": stamps["computed"] - stamps["loaded"],
                    "gradient out": stamps["done"] - stamps["computed"],
                    "result in": in_s,
                    "engine + journal": engine_s,
                }
            )
        elif "assignment out" in last:
            last["assignment out"] += out_s
            last["result in"] += in_s
            last["engine + journal"] += engine_s
            last["aggregate"] = stamps["done"] - stamps["begun"]
            for stage in STAGES:
                self._ways[stage].append(last.get(stage, 0.0))
            last.clear()


class _Stamping:
    def __init__(self, pool: Pool, trace: Trace) -> None:
        self._pool, self._trace = pool, trace

    def wait(self, deadline_s: float | None) -> Wake:
        wake = self._pool.wait(deadline_s)
        self._trace.woke()
        return wake

    def submit(self, assignments: Sequence[Assignment]) -> None:
        self._trace.submitting(assignments)
        self._pool.submit(assignments)
        self._trace.submitted()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
