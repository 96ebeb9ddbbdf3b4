"""The small tables of the sheets on our algorithms' papers, measured again on the product's own code.

That on backup workers has a benchmark of its own, `backup_workers`. A part is a module here with
`rows(quick) -> (rows, targets)`.
"""

from __future__ import annotations

from importlib import import_module

from benchmarks.harness import Report

PARTS = ("autohas", "fedlaw", "merging")


def measure(*, quick: bool, part: str = "") -> Report:
    """All parts, or the one named. Raises ValueError: no such part."""
    if part and part not in PARTS:
        raise ValueError(f"{part!r} is not a part of sheets; allowed: {', '.join(PARTS)}")
    report = Report("sheets", {"quick": quick, "parts": [part] if part else PARTS})
    for name in [part] if part else PARTS:
        rows, targets = import_module(f"benchmarks.sheets.{name}").rows(quick)
        report.rows.extend({"sheet": name, **row} for row in rows)
        report.targets.extend(targets)
    return report
