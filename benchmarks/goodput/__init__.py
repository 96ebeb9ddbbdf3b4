"""Goodput and time to target under failures: ours against Ray Train restarted from its last checkpoint.

Both train the same CNN on Fashion-MNIST, two workers of one core, 64 samples a gradient, plain SGD. The clock starts at
the first gradient, so that the first start, which a long job pays once, is on neither side (`start, s` shows it). At
seeded moments, the same for both, a worker's process gets SIGKILL; both bring it back by themselves.

- goodput, the target's: useful time / elapsed. Useful time is what the gradients that are in the weights at the end of
  the window take the same system undisturbed, which is measured in the same call.
- work goodput: gradients in the weights at the end / all that were finished.
- time to target: until the mean training loss of the last 100 steps in the weights is at most TARGET_LOSS.

The peer tries several checkpoint intervals under the densest failures and keeps the one with its best goodput there.
`--quick` measures under a failure every 15 s only, and derives the other rows from the time lost to each failure.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import torch

from benchmarks.goodput import problem
from benchmarks.goodput.environment import REQUIREMENTS, python_of_peer
from benchmarks.goodput.history import SMOOTHED, History, schedule
from benchmarks.goodput.processes import NeverComputed
from benchmarks.goodput.systems import Measured, ours, peer
from benchmarks.harness import Report, Target
from examples.fashion_mnist.task import FashionMnist
from trainers import Split
from trainers.data import fashion_mnist

EVERY_S = (15.0, 30.0, 60.0)
CHECKPOINTS_S = (1.0, 2.5, 5.0)
UNDISTURBED = 0.0
DENSEST = EVERY_S[0]
TARGET_LOSS = 0.45
LEAST = 0.01  # a goodput below this counts as this in a ratio
OURS, PEER = "ripieno", "Ray Train"


class Plan(NamedTuple):
    """windows_s: by seconds between failures; UNDISTURBED: none. checkpoints_s: what the peer tries."""

    windows_s: dict[float, float]
    repetitions: int
    checkpoints_s: Sequence[float]


FULL = Plan({UNDISTURBED: 30, 15: 45, 30: 60, 60: 60}, 3, CHECKPOINTS_S)
QUICK = Plan({UNDISTURBED: 10, 15: 30}, 1, CHECKPOINTS_S[1:2])


class Cell(NamedTuple):
    """One run to be made. seed: of the kills. checkpoint_s: the peer's, 0 for ours."""

    system: str
    every_s: float
    seed: int
    checkpoint_s: float


Measurements = dict[Cell, Measured | NeverComputed]


def measure(*, quick: bool) -> Report:
    plan = QUICK if quick else FULL
    settings: dict[str, Any] = {
        "quick": quick,
        "workers": problem.WORKERS,
        "batch_size": problem.BATCH,
        "target_loss": TARGET_LOSS,
    }
    settings["peer"] = " ".join(REQUIREMENTS)
    report = Report("goodput", {**settings, "windows_s": {f"{key:g}": value for key, value in plan.windows_s.items()}})
    _say("making the peer's environment, the first time only")
    python_of_peer()
    with _data() as data:
        done: Measurements = {}
        densest = [Cell(PEER, DENSEST, 0, checkpoint_s) for checkpoint_s in plan.checkpoints_s]
        own = [Cell(OURS, DENSEST, seed, 0) for seed in range(plan.repetitions)]
        others = [Cell(OURS, every_s, 0, 0) for every_s in plan.windows_s if every_s != DENSEST]
        _run_all([*densest, *own, *others], plan, data, done)
        best_s = max(plan.checkpoints_s, key=lambda each: _useful_per_s(done[Cell(PEER, DENSEST, 0, each)]))
        again = [Cell(PEER, DENSEST, seed, best_s) for seed in range(1, plan.repetitions)]
        others = [Cell(PEER, every_s, 0, best_s) for every_s in plan.windows_s if every_s != DENSEST]
        _run_all([*again, *others], plan, data, done)
    undisturbed = {
        system: _useful_per_s(done[Cell(system, UNDISTURBED, 0, checkpoint_s)])
        for system, checkpoint_s in ((OURS, 0.0), (PEER, best_s))
    }
    for every_s in (UNDISTURBED, *EVERY_S):
        for system in (OURS, PEER):
            cells = {cell: one for cell, one in done.items() if cell.system == system}
            report.rows += _rows(every_s, cells, undisturbed[system], best_s)
    kept = [row for row in report.rows if row["failure every, s"] == DENSEST and row["kept"] == "yes"]
    goodput = {row["system"]: row["goodput"] for row in kept}
    if any(row["runs"] == 0 for row in kept):
        goodput[OURS] = 0.0  # nothing was compared: missed, whoever did not run
    ratio = goodput[OURS] / max(LEAST, goodput[PEER])
    report.targets = [Target("goodput / Ray Train's, a failure every 15 s", ratio, 1.5, "higher")]
    return report


def _rows(every_s: float, cells: Measurements, undisturbed_per_s: float, best_s: float) -> Iterator[dict[str, Any]]:
    """One for each checkpoint interval that was tried; derived from the densest failures where there was no run."""
    measured = {cell for cell in cells if cell.every_s == every_s}
    source_s = every_s if measured else DENSEST
    for checkpoint_s in sorted({cell.checkpoint_s for cell in cells if cell.every_s == source_s}):
        if not measured and checkpoint_s not in (0.0, best_s):
            continue
        runs = [one for cell, one in cells.items() if (cell.every_s, cell.checkpoint_s) == (source_s, checkpoint_s)]
        worked = [run for run in runs if isinstance(run, Measured)]
        goodputs = [run.history.time_goodput(undisturbed_per_s) for run in worked if undisturbed_per_s]
        if not measured:
            goodputs = [1 - (1 - goodput) * DENSEST / every_s for goodput in goodputs]
        goodputs = goodputs or [0.0]
        reached = [run.history.reached_s(TARGET_LOSS) for run in worked] if measured else []
        yield {
            "failure every, s": every_s or "never",
            "system": next(iter(cells)).system,
            "checkpoint every, s": checkpoint_s or "-",
            "kept": "yes" if checkpoint_s in (0.0, best_s) else "no",
            "goodput": median(goodputs),
            "from": min(goodputs),
            "to": max(goodputs),
            "work goodput": median(run.history.work_goodput for run in worked) if worked else 0.0,
            "samples/s": median(run.history.useful_per_s for run in worked) * problem.BATCH if worked else 0.0,
            "time to target, s": _median_reached(reached),
            "runs": len(worked) if measured else "derived",
            "kills that hit": sum(run.history.killed for run in worked) if measured else "-",
            "start, s": median(run.start_s for run in worked) if worked else float("nan"),
            "failed": "; ".join(str(run) for run in runs if not isinstance(run, Measured)) or "-",
        }


def _median_reached(reached: Sequence[float]) -> float | str:
    """Runs that did not get there count as later than all that did."""
    middle = sorted(at if at == at else float("inf") for at in reached)[len(reached) // 2] if reached else float("inf")
    return middle if middle < float("inf") else "not reached" if reached else "-"


def _useful_per_s(measured: Measured | NeverComputed) -> float:
    return measured.history.useful_per_s if isinstance(measured, Measured) else 0.0


def _run_all(cells: list[Cell], plan: Plan, data: Path, done: Measurements) -> None:
    """In shuffled order, each in a folder of its own."""
    random.Random(len(cells)).shuffle(cells)
    for cell in cells:
        started_s = time.monotonic()
        window_s = plan.windows_s[cell.every_s]
        kills = schedule(cell.every_s, window_s, cell.seed) if cell.every_s else ()
        with tempfile.TemporaryDirectory(prefix="goodput-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            for file in (problem.PIXELS, problem.LABELS):
                (folder / file).symlink_to(data / file)
            try:
                if cell.system == OURS:
                    done[cell] = ours(folder, kills, window_s)
                else:
                    done[cell] = peer(folder, kills, window_s, cell.checkpoint_s)
            except NeverComputed as error:
                done[cell] = error
        _say(f"{cell} took {time.monotonic() - started_s:.0f} s: {_came_to(done[cell])}")


def _came_to(measured: Measured | NeverComputed) -> str:
    if not isinstance(measured, Measured):
        return str(measured)
    history = measured.history
    return f"{history.useful_per_s * problem.BATCH:,.0f} samples/s, {history.killed} killed, loss {_last_loss(history)}"


def _last_loss(history: History) -> str:
    losses = [entry.loss for entry in history.kept if entry.loss is not None][-SMOOTHED:]
    return f"{fmean(losses):.3f}" if losses else "unknown"


@contextmanager
def _data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="goodput-data-"))
    try:
        images = fashion_mnist(Split.TRAIN, FashionMnist.folder)
        torch.save(images.pixels.clone(), folder / problem.PIXELS)
        torch.save(images.labels, folder / problem.LABELS)
        yield folder
    finally:
        shutil.rmtree(folder)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
