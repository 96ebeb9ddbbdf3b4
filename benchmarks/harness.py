"""What all benchmarks share: the report, the machine it was made on, and a fixed Python loop as a yardstick."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

FILE_WIDTH = 200  # characters of a line that nobody's window bounds
REFERENCE_LOOPS_PER_S = 2_330.0
"""`loops_per_s` of the idle machine (2 cores, AMD EPYC) that targets for pure Python are meant for."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that an issue asks for; kind "research" may be missed, with its analysis in docs/."""

    name: str
    value: float
    target: float
    better: Literal["lower", "higher"]
    kind: Literal["target", "research"] = "target"

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.better == "lower" else self.value >= self.target


@dataclass(slots=True)
class Report:
    """Rows are printed and written as they are; every target is listed, met or not."""

    benchmark: str
    settings: Mapping[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "commit": _commit(),
            "machine": machine(),
            "settings": dict(self.settings),
            "rows": [{name: None if value != value else value for name, value in row.items()} for row in self.rows],
            "targets": [{**asdict(target), "met": target.met} for target in self.targets],
        }

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")

    def show(self) -> None:
        console = Console()
        if not console.is_terminal:
            console.width = FILE_WIDTH
        for columns in dict.fromkeys(tuple(row) for row in self.rows):
            table = Table(box=None, header_style="bold")
            for column in columns:
                table.add_column(column, justify="right")
            for row in self.rows:
                if tuple(row) == columns:
                    table.add_row(*(_shown(row[column]) for column in columns))
            console.print(table, "")
        for target in self.targets:
            sign = "<=" if target.better == "lower" else ">="
            verdict = "met" if target.met else "MISSED"
            console.print(
                f"{verdict:>6}  {target.name}: {_shown(target.value)} (target {sign} {_shown(target.target)})"
            )


def machine() -> dict[str, Any]:
    """The cores this process may use, the processor's name, and the GPU's if there is one."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": names[0] if names else platform.processor(),
        "gpu": _gpu(),
        "python": platform.python_version(),
    }


def loops_per_s(repetitions: int = 5) -> float:
    """How often this interpreter does a fixed piece of pure Python in a second, now: best of `repetitions`."""
    best = 0.0
    for _ in range(repetitions):
        started = time.perf_counter()
        for _ in range(100):
            _fixed_loop()
        best = max(best, 100 / (time.perf_counter() - started))
    return best


def _fixed_loop() -> int:
    counts: dict[int, int] = {}
    for number in range(5_000):
        key = number * 2_654_435_761 % 1_021
        counts[key] = counts.get(key, 0) + 1
    return len(tuple((key, count) for key, count in counts.items() if count > 1))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _commit() -> str:
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return git.stdout.strip()


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
