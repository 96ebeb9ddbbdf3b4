"""`dynamic` against every static k, full, and the other policies: in virtual time, and with real processes.

`--part virtual`, `--part processes`, or a setting's name; without it, both.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import torch

from benchmarks.backup_workers.cells import GROUPS, MOVING, Group
from benchmarks.backup_workers.measured import Cell, measured
from benchmarks.backup_workers.processes import wall_clock
from benchmarks.backup_workers.virtual_training import WORKERS
from benchmarks.harness import Report, Target

SEEDS, QUICK_SEEDS = range(10), range(1)
PARTS = ("virtual", "processes", *(group.name for group in GROUPS))


def measure(*, quick: bool, part: str = "") -> Report:
    """Raises ValueError: no such part."""
    if part and part not in PARTS:
        raise ValueError(f"{part!r} is not a part of backup_workers; allowed: {', '.join(PARTS)}")
    report = Report("backup_workers", {"quick": quick, "part": part, "workers": WORKERS})
    groups = [group for group in GROUPS if part in ("", "virtual", group.name)]
    if groups:
        virtual(report, groups, quick=quick)
    if part in ("", "processes"):
        wall_clock(report, quick=quick)
    return report


def virtual(report: Report, groups: Sequence[Group], *, quick: bool) -> None:
    """On all cores: virtual time does not mind. quick: one seed, and of the static k the middle one and n."""
    tasks = []
    for group in groups:
        ks = (group.ks[len(group.ks) // 2], WORKERS) if quick else group.ks
        tasks += [(group, name, ks, QUICK_SEEDS if quick else SEEDS) for name in group.round_trips]
    with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,), mp_context=get_context("spawn")) as pool:
        cells = list(pool.map(measured, *zip(*tasks, strict=True)))
    report.rows.extend(cell.row() for cell in cells)
    report.rows.extend(cell.static_row() for cell in cells)
    report.targets.extend(_targets(cells))


def _targets(cells: Sequence[Cell]) -> list[Target]:
    still = [cell for cell in cells if cell.round_trips not in MOVING and cell.group.name != "noise"]
    targets = []
    if still:
        ratios = [cell.ratio for cell in still]
        targets += [
            Target("`dynamic` / best static k, median over stationary cells", median(ratios), 1.02, "lower"),
            Target("`dynamic` / best static k, worst stationary cell", max(ratios), 1.12, "lower"),
        ]
    if pareto := [cell.full / cell.took("dynamic") for cell in still if cell.round_trips == "Pareto"]:
        targets.append(Target("full / `dynamic`, Pareto 1.5, median of the settings", median(pareto), 3.0, "higher"))
        targets.append(Target("full / `dynamic`, Pareto 1.5, least of the settings", min(pareto), 3.0, "higher"))
    for cell in cells:
        name = f"{cell.group.name}, {cell.round_trips}: `dynamic` / best static k"
        if cell.round_trips == "half":
            targets.append(Target(name, cell.ratio, 1.10, "lower", kind="research"))
        elif cell.round_trips in MOVING or cell.group.name == "noise":
            targets.append(Target(name, cell.ratio, 1.0, "lower", kind="research"))
    return targets
