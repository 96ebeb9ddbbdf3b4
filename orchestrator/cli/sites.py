"""`ripieno site`: taking part in somebody else's run with one's own data."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

site = typer.Typer(no_args_is_help=True, help="A federated site: data that stay here, work that comes from a server.")


@site.callback()
def _site() -> None:
    """So that `join` keeps its name."""


@site.command()
def join(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Where the server listens: its --serve.")],
    data: Annotated[Path, typer.Option("--data", metavar="PATH", help="This site's data: the task's `folder`.")],
    certificates: Annotated[
        Path, typer.Option("--certificates", metavar="FOLDER", help="This site's folder, as `certs init` made it.")
    ],
    task: Annotated[
        str, typer.Option("--task", metavar="MODULE:CLASS", help="Take part in runs of this task only.")
    ] = "",
    device: Annotated[str, typer.Option("--device", help="Where models compute, as torch names it.")] = "cpu",
    patience: Annotated[
        float, typer.Option("--patience", metavar="SECONDS", min=0.1, help="How long an absent server is tried.")
    ] = 600.0,
    once: Annotated[bool, typer.Option("--once", help="Leave after one run.")] = False,
) -> None:
    """Join run after run at an address, and do their work on the data here; the task is imported from here too."""
    from orchestrator.site import Site
    from orchestrator.site import join as take_part

    here = Path.cwd()
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        take_part(Site(address, certificates, data, task, (here,), device, patience, once), _say)
    except KeyboardInterrupt:
        _say("left: it was stopped")
        raise typer.Exit(130) from None


def _say(sentence: str) -> None:
    print(sentence, flush=True)
