"""`ripieno simulate`: what a spec would take on other workers, before they are paid for."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from orchestrator.cli.imports import import_from

if TYPE_CHECKING:
    from orchestrator.simulation import Assumptions, Simulated
    from orchestrator.spec import Spec

PICTURE = "simulation.png"


def simulate(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="YAML or JSON file with a section train.")],
    latency: Annotated[
        str,
        typer.Option(
            "--latency",
            metavar="SHAPE",
            help="How long a gradient takes: constant, exponential:SPREAD, pareto:SHAPE, lognormal:SIGMA or "
            "uniform:LOW:HIGH.",
        ),
    ] = "",
    trace: Annotated[
        str, typer.Option("--trace", metavar="RUN", help="Take a finished run's timings instead of --latency.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="How many; else as the spec has it.")
    ] = None,
    step_seconds: Annotated[
        float | None, typer.Option("--step-seconds", metavar="S", help="A gradient's mean time; else measured here.")
    ] = None,
    aggregate_seconds: Annotated[
        float | None, typer.Option("--aggregate-seconds", metavar="S", help="Time of a step along the gradients' mean.")
    ] = None,
    slow: Annotated[
        str, typer.Option("--slow", metavar="N:FACTOR", help="So many workers are so many times slower.")
    ] = "",
    crash_every: Annotated[
        float, typer.Option("--crash-every", metavar="HOURS", help="Mean time between failures of a worker; 0: none.")
    ] = 0.0,
    restart: Annotated[
        float, typer.Option("--restart", metavar="SECONDS", help="After which a crashed worker is back.")
    ] = 60.0,
    price: Annotated[
        float, typer.Option("--price", metavar="MONEY", help="Of a worker's hour, for the cost in money.")
    ] = 0.0,
    target: Annotated[
        float | None, typer.Option("--target", metavar="LOSS", help="Training loss to reach; else where `full` ends.")
    ] = None,
    compute: Annotated[
        bool, typer.Option("--compute", help="Real gradients on the virtual clock: for few workers, slow, exact.")
    ] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the spec. Repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the picture goes.")] = Path("simulation"),
    state: Annotated[Path, typer.Option("--state", metavar="FOLDER", help="The state folder that holds RUN.")] = Path(
        "runs"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Play a train spec on virtual workers: time, k, goodput and cost of each quorum. Starts nothing."""
    from orchestrator.cli.runs import find_run
    from orchestrator.simulation import Assumptions
    from orchestrator.spec import check

    import_from(Path.cwd(), spec.absolute().parent)
    given = Assumptions(
        latency=latency,
        trace=find_run(state, trace) if trace else None,
        step_seconds=step_seconds,
        aggregate_seconds=aggregate_seconds,
        slow=slow,
        crash_every_hours=crash_every,
        restart_seconds=restart,
        price=price,
        target=target,
        compute=compute,
    )
    wanted = check(spec, overrides or ())
    _report(_played(wanted, given, workers), out, json)


def _played(spec: Spec, given: Assumptions, workers: int | None) -> Simulated:
    from orchestrator.simulation import simulated

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=1.0)
        return simulated(
            spec,
            given,
            workers=workers,
            telling=lambda what, share: progress.update(task, description=what, completed=share),
        )


def _report(result: Simulated, out: Path, json: bool) -> None:
    import msgspec

    from orchestrator.simulation.picture import draw
    from orchestrator.simulation.table import COLUMNS, tabled

    out.mkdir(parents=True, exist_ok=True)
    draw(result, out / PICTURE)
    if json:
        print(json_.dumps(msgspec.to_builtins(result, enc_hook=str), ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.width = max(console.width, COLUMNS)
    console.print(tabled(result), Text.assemble(("\npicture      ", "dim"), str(out / PICTURE)), crop=False)
