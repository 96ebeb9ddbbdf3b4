"""The engine alone: how many finished works a second core, virtual pool and journal manage, and what a decision costs.

No peer has such a part to set beside it, so rates are given relative to a fixed Python loop timed in the same run.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import REFERENCE_LOOPS_PER_S, Report, Target, loops_per_s
from orchestrator.core import Core
from orchestrator.driver import frozen_collector
from orchestrator.journal.codec import encode
from orchestrator.journal.file import FileJournal
from orchestrator.pools.latency import Latency, ShiftedExponential
from orchestrator.pools.virtual import VirtualPool
from orchestrator.quorum import make_quorum
from orchestrator.records import Arrivals, Decision, Evidence, Ref, Result, RoundTrip, Wake, Work
from tests.support.pinned_rounds import PinnedRounds

WORKERS = (10, 100, 1_000, 10_000)
REFRESH_WORKERS = (10, 64, 100, 256, 1_000, 10_000)
BEST_OF = 5
REFRESH_EVERY = 4  # rounds, in `dynamic`


class ThreeQuarters:
    """k = 0.75 n."""

    def decide(self, evidence: Evidence) -> Decision:
        return Decision(max(1, evidence.present * 3 // 4), "three quarters")


def measure(*, quick: bool) -> Report:
    report = Report("engine", {"quick": quick, "best_of": BEST_OF, "items": 20_000 if quick else 200_000})
    loops = loops_per_s()
    rates = {}
    for workers in WORKERS:
        rate, bytes_ = _items_per_s(workers, report.settings["items"])
        rates[workers] = rate
        report.rows.append(
            {
                "workers": workers,
                "items/s": rate,
                "items a loop": rate / loops,
                "items/s at reference speed": rate / loops * REFERENCE_LOOPS_PER_S,
                "journal bytes an item": bytes_,
            }
        )
    report.rows.extend(_records())
    refresh = {workers: _refresh_ms(workers) for workers in REFRESH_WORKERS}
    report.rows.extend({"workers": workers, "`dynamic` refresh, ms": ms} for workers, ms in refresh.items())
    slowest = min(rates[workers] for workers in WORKERS[:-1]) / loops * REFERENCE_LOOPS_PER_S
    report.targets = [
        Target("items/s at 10 to 1,000 workers, at reference speed", slowest, 50_000, "higher"),
        Target("cost an item, 10,000 workers / 100 workers", rates[100] / rates[10_000], 2.5, "lower"),
        Target("slowest `dynamic` refresh from 10 to 10,000 workers, ms", max(refresh.values()), 20, "lower"),
    ]
    return report


def _items_per_s(workers: int, items: int) -> tuple[float, float]:
    best, bytes_ = 0.0, 0.0
    rounds = max(4, items // (workers * 3 // 4))
    for _ in range(BEST_OF):
        with tempfile.TemporaryDirectory() as folder, frozen_collector():
            strategy = PinnedRounds(rounds)
            core = Core(strategy, ThreeQuarters())
            latency = Latency(ShiftedExponential(0.7))
            pool = VirtualPool(workers, _noop, latency=latency, aggregators=0)
            journal = FileJournal(Path(folder), "benchmark", segment_bytes=1 << 30)
            done = 0
            started = time.perf_counter()
            while not core.finished:
                wake = pool.wait(core.deadline_s)
                journal.append(wake)
                actions = core.handle(wake)
                pool.cancel(actions.cancel)
                pool.submit(actions.submit)
                done += sum(type(event) is Result for event in wake.events)
            elapsed_s = time.perf_counter() - started
            journal.close()
            bytes_ = sum(file.stat().st_size for file in Path(folder).iterdir()) / done
            best = max(best, done / elapsed_s)
    return best, bytes_


def _noop(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
    return {}, {}


def _records() -> Sequence[dict[str, Any]]:
    """A no-op item, and a step of eight gradients: eight wakes of one result each, and the aggregate's."""
    noop = Wake(1234.567891, (Result(123_456, 1, "worker-12", {}, {}, 0.0123, 1234.567),))
    gradient = Result(
        123_456,
        1,
        "worker-7",
        {"gradient": Ref("123456.gradient")},
        {"loss": 0.4321, "norm2": 1.2345, "samples": 64.0},
        0.0123,
        1234.567,
    )
    step = [Wake(1234.567891, (gradient,))] * 9
    rows = []
    for name, wakes in (("no-op item", [noop]), ("8-worker step", step)):
        size = sum(len(encode(wake)) for wake in wakes)
        started = time.perf_counter()
        for _ in range(20_000):
            for wake in wakes:
                encode(wake)
        encode_us = (time.perf_counter() - started) / 20_000 * 1e6
        with tempfile.TemporaryDirectory() as folder:
            journal = FileJournal(Path(folder), "benchmark", segment_bytes=1 << 30)
            started = time.perf_counter()
            for _ in range(5_000):
                for wake in wakes:
                    journal.append(wake)
            append_us = (time.perf_counter() - started) / 5_000 * 1e6
            journal.close()
        rows.append({"record": name, "bytes": size, "encode, µs": encode_us, "append, µs": append_us})
    return rows


def _refresh_ms(workers: int) -> float:
    """The dearest of REFRESH_EVERY decisions in a row, one of which estimates the round times anew; best of 8."""
    draw = random.Random(workers)
    trips = {
        f"worker-{number}": [RoundTrip(float(at), 0.3 + 0.7 * draw.expovariate(1.0), True) for at in range(40)]
        for number in range(workers)
    }
    arrivals = [Arrivals(workers, sorted(draw.expovariate(1.0) for _ in range(min(workers, 64)))) for _ in range(50)]
    signals = {
        "loss": 1.0,
        "k": workers / 2,
        "sum_norm2": workers * 1.0,
        "norm2": 0.5,
        "learning_rate": 0.1,
        "momentum": 0.9,
    }
    quorum = make_quorum("dynamic")
    memory = None
    taken_ms = []
    for round_ in range(1, 41):
        evidence = Evidence(
            round_,
            0.0,
            40.0 + round_,
            workers,
            workers,
            1,
            trips,
            arrivals,
            dict.fromkeys(trips, 0.1),
            signals,
            memory,
            0,
        )
        started = time.perf_counter()
        decision = quorum.decide(evidence)
        taken_ms.append((time.perf_counter() - started) * 1e3)
        memory = decision.memory
    return min(max(taken_ms[first : first + REFRESH_EVERY]) for first in range(8, 40, REFRESH_EVERY))
