"""`ripieno certs`: who is who between a server and its sites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import BadInput

MOST_DAYS = 36_500

certs = typer.Typer(no_args_is_help=True, help="Keys and certificates for a server and the sites that dial in to it.")


class NotMade(BadInput):
    """What was asked for cannot be made. problem: a sentence."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.problem}. Nothing was made."


@certs.callback()
def _certs() -> None:
    """So that `init` keeps its name."""


@certs.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The authority's folder; made if it is not there.")],
    sites: Annotated[list[str], typer.Option("--site", metavar="NAME", help="A site. Repeatable.")],
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="HOST", help="Name or address that sites reach the server by. Repeatable."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=MOST_DAYS, help="How long new certificates are valid.")
    ] = 365,
) -> None:
    """Make what is missing: an authority, the server's folder and a folder for each site. Nothing is written over."""
    from cluster.certificates import CertificateInvalid
    from cluster.certificates import init as make

    try:
        made = make(folder, hosts or (), sites, days)
    except CertificateInvalid as error:
        raise NotMade(str(error)) from None
    except OSError as error:
        raise NotMade(f"{error.filename or folder}: cannot be written ({error.strerror}); name a folder") from None
    for path in made.kept:
        print(f"{path} is there already and is left as it is")
    for path in made.new:
        print(f"{path} made: for {'the server' if path.name == 'server' else 'that site'}, and for nobody else")
    print(f"keep {folder / 'ca-key.pem'} to yourself: whoever has it can be any site")
