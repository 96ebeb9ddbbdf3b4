"""The two systems: how each is started, and what its records say of the window."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks.goodput import problem
from benchmarks.goodput.environment import python_of_peer
from benchmarks.goodput.history import History, Kept, Kill
from benchmarks.goodput.processes import disturbed
from benchmarks.goodput.task import FOLDER
from orchestrator.assemble import core_of
from orchestrator.recorded_run import read_run
from orchestrator.records import Result, Wake

ROOT = Path(__file__).parents[2]


class Measured(NamedTuple):
    """start_s: from the command to the first gradient, on neither side of goodput."""

    start_s: float
    history: History


def ours(folder: Path, kills: Sequence[Kill], window_s: float) -> Measured:
    """`ripieno run`, waiting for all that are there; journal and snapshots as always, MLflow off as the peer's."""
    spec = {
        "task": "benchmarks.goodput.task:Problem",
        "train": {
            "workers": problem.WORKERS,
            "batch_size": problem.BATCH,
            "quorum": "full",
            "optimizer": {"name": "sgd", "lr": problem.LEARNING_RATE},
            "epochs": 1_000,
            "evaluate_every": {"epochs": 1_000},
        },
        "state": str(folder / "runs"),
        "tracking": {"enabled": False},
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    command = [sys.executable, "-m", "orchestrator", "run", str(folder / "spec.yaml"), "--name", "goodput"]
    start_s, hits = disturbed(command, _environment(folder), folder, kills, window_s)
    return Measured(start_s, _of_journal(folder / "runs" / "goodput", window_s, len(hits)))


def _of_journal(folder: Path, window_s: float, killed: int) -> History:
    run = read_run(folder)
    core = core_of(run.spec)
    losses: dict[int, float] = {}
    arrived: list[float] = []
    kept: list[Kept] = []
    gradients = 0
    for record in run.journal.records():
        if not isinstance(record, Wake):
            continue
        arrived += [event.received_s for event in record.events if isinstance(event, Result) and _computed(event)]
        for told in core.handle(record).told:
            if told.result.failure is not None:
                continue
            if told.work.kind == "gradient":
                losses[told.work.id] = told.result.metrics["loss"]
            elif told.work.kind == "aggregate":
                used = [losses[work_id] for work_id in told.work.params["gradients"]]  # type: ignore[union-attr, index]
                gradients += len(used)
                kept.append(Kept(told.result.received_s, gradients, sum(used) / len(used)))
    first_s = min(arrived)
    within = [entry._replace(at_s=entry.at_s - first_s) for entry in kept if entry.at_s - first_s <= window_s]
    return History(within, sum(at_s - first_s <= window_s for at_s in arrived), window_s, killed)


def _computed(result: Result) -> bool:
    return result.failure is None and "gradient" in result.outputs


def peer(folder: Path, kills: Sequence[Kill], window_s: float, checkpoint_every_s: float) -> Measured:
    """Ray Train's TorchTrainer with unlimited restarts from its last checkpoint."""
    program = Path(__file__).with_name("peer_program.py")
    command = [str(python_of_peer()), str(program), str(folder), str(checkpoint_every_s)]
    start_s, hits = disturbed(command, _environment(folder), folder, kills, window_s)
    return Measured(start_s, _of_logs(folder, window_s, hits))


def _of_logs(folder: Path, window_s: float, hits: Sequence[float]) -> History:
    ranks = [list(_lines(file)) for file in sorted(folder.glob("rank-*.log"))]
    steps = [at for rank in ranks for at, what, _ in rank if what not in ("start", "checkpoint")]
    first = min(steps)
    events = sorted([*ranks[0], *((at, "killed", "") for at in hits)])
    kept, checkpoint = [], 0
    for at, what, value in events:
        match what:
            case "killed":
                kept.append(Kept(at - first, checkpoint * problem.WORKERS, None))
            case "checkpoint":
                checkpoint = int(value)
            case "start":
                kept.append(Kept(at - first, int(value) * problem.WORKERS, None))
            case step:
                kept.append(Kept(at - first, int(step) * problem.WORKERS, float(value)))
    within = [entry for entry in kept if entry.at_s <= window_s]
    return History(within, sum(at - first <= window_s for at in steps), window_s, len(hits))


def _lines(file: Path) -> Iterator[tuple[float, str, str]]:
    for line in file.read_text().splitlines():
        at, what, value = line.split()
        yield float(at), what, value


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "PYTHONPATH")}
    return {**kept, FOLDER: str(folder), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
