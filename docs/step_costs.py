"""Writes the tables of pages/step-costs.md from the results of `step_overhead`; with --check: as spec_reference.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "pages" / "step-costs.md"
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "step_overhead.json"
MARK = "<!-- below: made by docs/step_costs.py -->\n"
NOT_YET = "\nNot measured on this version yet: `python -m benchmarks step_overhead --json FILE` does it.\n"


def tables(report: Mapping[str, Any]) -> str:
    """A paragraph on the machine, then one table for each kind of row."""
    machine = report["machine"]
    made = f"Measured at commit `{report['commit']}` on {machine['cores']} cores ({machine['cpu']})."
    return "\n".join(["", made, "", *_tables(report["rows"]), *map(_verdict, report["targets"]), ""])


def _tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for columns in dict.fromkeys(tuple(row) for row in rows):
        yield f"| {' | '.join(columns)} |"
        yield "|---" + "|--:" * (len(columns) - 1) + "|"
        for row in rows:
            if tuple(row) == columns:
                yield f"| {' | '.join(_shown(row[column]) for column in columns)} |"
        yield ""


def _verdict(target: Mapping[str, Any]) -> str:
    verdict = "met" if target["met"] else "missed"
    return f"- {target['name']}: {target['value']:.2f}, target ≤ {target['target']}: {verdict}"


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main(arguments: list[str]) -> int:
    before = PAGE.read_text(encoding="utf-8")
    made = tables(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.exists() else NOT_YET
    text = before.partition(MARK)[0] + MARK + made
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif text != before:
        print(f"{PAGE} is not what {RESULTS} says; run: make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
