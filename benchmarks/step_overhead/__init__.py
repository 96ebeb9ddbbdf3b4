"""What a step costs beside its forward and backward pass: ours against torch's DistributedDataParallel over gloo.

Both do the same job: n processes take the gradient of a batch each, the mean is taken, SGD with momentum steps, and
everybody has the new weights; the models of both are compared at the end. Ours is the whole engine as `ripieno run`
drives it, with quorum `full` and its journal, on local processes, tracking off.

    overhead = a step's time - that of forward and backward alone, n processes at it at once, on the same cores

Batches are drawn, and the loss is read, in all three; settings of torch and of the C library are the same (one thread,
determinism, freed memory kept). DDP sends while backward still runs; what it hides so is not in its overhead. It steps
the optimizer in each process, ours steps once in a process of its own. Ours journals each answer, computes norms that
a quorum may ask for, sums in float64 and seeds each piece of work: all that is in its overhead.

Windows of one size and number of processes are interleaved in shuffled order, with all processes there all the time,
asleep outside their windows. `ours / DDP` is the median of the ratios of windows of one repetition, so that what else
the machine does counts on both sides.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from safetensors.torch import load_file

from benchmarks.harness import Report, Target
from benchmarks.step_overhead.ddp import Ddp
from benchmarks.step_overhead.ours import Ours
from benchmarks.step_overhead.task import BATCH_SIZE, WARM_UP, WIDTHS
from benchmarks.step_overhead.traced import ENTRY, Trace

PROCESSES = (2, 4)
TARGETS = {"0.1M": 0.6, "1M": 0.6, "10M": 0.9}  # ours / DDP, 4 processes
STEPS = {"0.1M": 200, "1M": 80, "10M": 16}  # of a window
QUICK_STEPS = {"0.1M": 60, "1M": 25, "10M": 6}
REPETITIONS, QUICK_REPETITIONS = 7, 3
SIDES = ("compute", "ddp", "ours")

Windows = Mapping[str, Sequence[float]]  # seconds of a step, by side, one a repetition


def measure(*, quick: bool) -> Report:
    steps, repetitions = (QUICK_STEPS, QUICK_REPETITIONS) if quick else (STEPS, REPETITIONS)
    settings = {"quick": quick, "repetitions": repetitions, "steps": steps, "batch_size": BATCH_SIZE}
    report = Report("step_overhead", settings)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # the engine's, not the reader's
    for processes in PROCESSES:
        for size in WIDTHS:
            windows, difference = _side_by_side(size, processes, steps[size], repetitions)
            row = _row(size, processes, windows, difference)
            report.rows.append(row)
            if processes == max(PROCESSES):
                name = f"overhead / DDP's overhead at {size} parameters, {processes} processes"
                report.targets.append(Target(name, row["ours / DDP"], TARGETS[size], "lower"))
    for size in WIDTHS:
        report.rows.append(_stages(size, max(PROCESSES), steps[size]))
    return report


def _side_by_side(size: str, processes: int, steps: int, repetitions: int) -> tuple[Windows, float]:
    """The windows, and the largest relative difference of a tensor of the two models in the end."""
    samples = processes * BATCH_SIZE * (steps + WARM_UP) * repetitions
    windows: dict[str, list[float]] = {side: [] for side in SIDES}
    shuffled = random.Random(processes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Ddp(folder, size, processes, samples) as ddp, Ours(folder, size, processes, samples) as ours:
            ddp.window("compute", WARM_UP)
            for _ in range(repetitions):
                for side in shuffled.sample(SIDES, len(SIDES)):
                    windows[side].append(ours.window(steps) if side == "ours" else ddp.window(side, steps))
            ddp.save(folder / "ddp.safetensors")
            model_file = ours.finish().model_file
        assert model_file is not None, "the run came to its end"
        theirs, mine = load_file(folder / "ddp.safetensors"), load_file(model_file)
    return windows, max(float((mine[key] - theirs[key]).norm() / theirs[key].norm()) for key in theirs)


def _row(size: str, processes: int, windows: Windows, difference: float) -> dict[str, Any]:
    overheads = {
        side: [(step - compute) * 1e3 for step, compute in zip(windows[side], windows["compute"], strict=True)]
        for side in ("ours", "ddp")
    }
    ratios = [ours / ddp for ours, ddp in zip(overheads["ours"], overheads["ddp"], strict=True)]
    return {
        "parameters": size,
        "processes": processes,
        "compute, ms": statistics.median(windows["compute"]) * 1e3,
        "ours, ms": statistics.median(overheads["ours"]),
        "ours, range": _range(overheads["ours"]),
        "DDP, ms": statistics.median(overheads["ddp"]),
        "DDP, range": _range(overheads["ddp"]),
        "ours / DDP": statistics.median(ratios),
        "ours / DDP, range": _range(ratios),
        "difference of models": difference,
    }


def _range(figures: Sequence[float]) -> str:
    return f"{min(figures):.2f} to {max(figures):.2f}"


def _stages(size: str, processes: int, steps: int) -> dict[str, Any]:
    """Where the time of our step goes, ms."""
    samples, trace = processes * BATCH_SIZE * (steps + WARM_UP), Trace()
    with (
        tempfile.TemporaryDirectory() as folder,
        Ours(Path(folder), size, processes, samples, observers=[trace], wrap=trace.around, entry=ENTRY) as ours,
    ):
        step_s = ours.window(steps)
    return {"parameters": size, "processes": processes, **trace.stages_ms(WARM_UP), "step with stamps": step_s * 1e3}
