"""`python -m benchmarks --list`, `python -m benchmarks NAME [--quick] [--json FILE]`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

BENCHMARKS = {
    "backup_workers": "time to the target with `dynamic`, full, every static k and the other policies; --part NAME",
    "engine": "items/s of the whole engine on the virtual pool, journal bytes, cost of a decision",
    "step_overhead": "what a step costs beside forward and backward, against torch DDP over gloo",
    "goodput": "goodput and time to target under failures, against Ray Train restarted from checkpoints",
    "sheets": "small tables of what the methods are worth, on digits and synthetic data; --part NAME for one of them",
    "tracking": "rounds/s with tracking on over rounds/s with it off, a real MLflow server on the same machine",
}


def main(
    name: Annotated[str, typer.Argument(help="which one; see --list")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="the same rows, smaller: some minutes")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="write the report there too")] = None,
    part: Annotated[str, typer.Option("--part", help="only this part of it")] = "",
    list_: Annotated[bool, typer.Option("--list", help="name the benchmarks")] = False,
) -> None:
    """Measurements, side by side with their peers in one run."""
    if list_ or name not in BENCHMARKS:
        for known, what in BENCHMARKS.items():
            typer.echo(f"{known:16} {what}")
        raise typer.Exit(0 if list_ else 2)
    options = {"part": part} if part else {}
    report = import_module(f"benchmarks.{name}").measure(quick=quick, **options)
    report.show()
    if json is not None:
        report.write(json)


if __name__ == "__main__":
    typer.run(main)
