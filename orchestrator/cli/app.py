"""The commands. Each imports what it needs when it runs: `ripieno list` never loads torch or Ray."""

from __future__ import annotations

import json as json_
import os
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from orchestrator.cli.certs import certs
from orchestrator.cli.imports import import_from
from orchestrator.cli.simulate import simulate
from orchestrator.cli.sites import site
from orchestrator.errors import RipienoError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.outcome import Outcome
    from orchestrator.spec import Spec
    from orchestrator.spec.problems import Complaint

EXIT_CODES = {"done": 0, "failed": 1, "interrupted": 130}


class Commands(TyperGroup):
    """Turns our errors into their sentence and exit code."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer's own click has no public name
        """Runs the command."""
        console = Console(stderr=True, highlight=False)
        try:
            return super().invoke(ctx)
        except RipienoError as error:
            from orchestrator.spec import SpecInvalid

            console.print(Text(str(error)), soft_wrap=True)
            if isinstance(error, SpecInvalid):
                console.print("nothing was started", style="dim")
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            from orchestrator.cli.refusals import refusal

            console.print(Text(refusal(error)), soft_wrap=True)
            console.print(
                "A run's journal is whole up to its last wake: once that is mended, ripieno resume goes on.",
                soft_wrap=True,
            )
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Many training runs, one result: training that does not wait for stragglers.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"ripieno {version('ripieno')}")
        except PackageNotFoundError:  # from a working tree, as in `ray job submit --working-dir .`
            print("ripieno, not installed")
        raise typer.Exit


def _run_name(name: str | None) -> str | None:
    if name is not None and (name == "last" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)):
        raise typer.BadParameter(
            f"{name!r} cannot name a run; allowed are up to 100 letters, digits, '.', '_' and '-', and not 'last'."
        )
    return name


SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="YAML or JSON file that says what to do.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change the spec: --set train.workers=8. Repeatable."),
]
Check = Annotated[bool, typer.Option("--check", help="Say what would happen, and start nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")]
Name = Annotated[
    str | None, typer.Option("--name", metavar="RUN", callback=_run_name, help="What to call the run; else made up.")
]
GoOn = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run of this --name if it has begun: for a job that is submitted again."
    ),
]
Serve = Annotated[
    str | None,
    typer.Option("--serve", metavar="HOST:PORT", help="Where real sites dial in; the same as serve.address."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or how it begins, or `last`.")]
State = Annotated[Path, typer.Option("--state", metavar="FOLDER", help="The state folder that holds the runs.")]
RUNS = Path("runs")


@app.callback()
def _ripieno(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    spec: SpecFile,
    overrides: Overrides = None,
    serve: Serve = None,
    check: Check = False,
    json: Json = False,
    name: Name = None,
    resume: GoOn = False,
) -> None:
    """Do what a spec says: here, or on the Ray cluster that RAY_ADDRESS names."""
    if resume and name is None:
        raise typer.BadParameter("--resume goes on with the run that --name names; give both.")
    from orchestrator.spec import check as checked

    import_from(Path.cwd(), spec.absolute().parent)
    served = [] if serve is None else [f"serve.address={json_.dumps(serve)}"]
    wanted = checked(spec, [*(overrides or ()), *served], _no_room)
    if check:
        _plan(wanted, json)
        return
    from orchestrator.begun import begun

    if resume and name is not None and (folder := begun(wanted, name)) is not None:
        _go_on(folder, json)
    from orchestrator.cli.foreground import chain_in_foreground, in_foreground
    from orchestrator.lifecycle import start
    from orchestrator.workers import on_ray

    pool = on_ray(_ray_address())
    if wanted.then:
        from orchestrator.chain import run_chain

        _exit(chain_in_foreground(lambda do: run_chain(wanted, do=do, name=name), open_pool=pool, as_json=json))
    _exit(
        in_foreground(
            wanted,
            lambda view, stop: start(wanted, open_pool=pool, observers=[view], name=name, stop=stop),
            as_json=json,
        )
    )


@app.command()
def resume(run: RunName, state: State = RUNS, json: Json = False) -> None:
    """Go on with a run that was interrupted, crashed or lost its machine."""
    _go_on(_find(run, state), json)


@app.command()
def restore(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's whole id.")],
    storage: Annotated[str, typer.Option("--storage", metavar="URI", help="As its spec has it: a path, s3://, gs://.")],
    state: State = RUNS,
) -> None:
    """Bring back a run whose disk is lost, from the copy in its storage; then it can be resumed."""
    from orchestrator.fetch import fetch

    for sentence in fetch(storage, run, state):
        print(sentence)
    print(f"{run} is in {state} again; go on with: ripieno resume {run} --state {state}")


@app.command()
def replay(run: RunName, state: State = RUNS, json: Json = False) -> None:
    """Do a run again from its journal, and compare every decision and the final weights. Exit 1 if they differ."""
    folder = _find(run, state)
    from orchestrator.chain import runs_of
    from orchestrator.cli.reports import replayed
    from orchestrator.verify import replay as do_again

    same = True
    for part in runs_of(folder):
        result = do_again(part)
        _print(result, replayed(result), json)
        same &= result.same
    raise typer.Exit(0 if same else 1)


@app.command("list")
def list_(state: State = RUNS, json: Json = False) -> None:
    """The runs of a state folder, the newest first."""
    from orchestrator.cli.reports import listed
    from orchestrator.cli.runs import all_runs

    runs = all_runs(state)
    if json:
        for found in runs:
            print(_as_json(found))
    elif runs:
        Console(highlight=False).print(listed(runs))
    else:
        print(f"no runs in {state}; start one with: ripieno run SPEC")


@app.command()
def show(
    run: RunName,
    why: Annotated[
        bool, typer.Option("--why", help="Every change of decision: how many to wait for, and why.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="With --why: every round, not only changes.")] = False,
    state: State = RUNS,
    json: Json = False,
) -> None:
    """All about one run: how it stands, where its files are, why its quorum decided as it did."""
    from orchestrator.cli.reports import shown
    from orchestrator.cli.runs import load_run

    folder = _find(run, state)
    if why:
        _why(folder, every, json)
    else:
        found = load_run(folder)
        _print(found, shown(found), json)


@app.command()
def schema() -> None:
    """The JSON Schema of a spec, for completion in editors."""
    from orchestrator.spec import json_schema

    print(json_.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def doctor() -> None:
    """What is installed, what this machine and the cluster have, and what is misconfigured."""
    from orchestrator.cli.reports import examined
    from orchestrator.doctor import examine

    console = Console(highlight=False)
    for finding in examine():
        console.print(examined(finding))


app.command()(simulate)
app.add_typer(certs, name="certs")
app.add_typer(site, name="site")

track = typer.Typer(no_args_is_help=True, help="The record of runs in MLflow.")
app.add_typer(track, name="track")


@track.command()
def sync(run: RunName, state: State = RUNS) -> None:
    """Send MLflow what it missed of a run, from its journal; nothing twice. Exit 1 if it still misses some."""
    from orchestrator.catch_up import catch_up
    from orchestrator.chain import runs_of

    folder = _find(run, state).resolve()
    complete = True
    for each in dict.fromkeys([folder, *runs_of(folder)]):  # a chain before its stages, which are nested in it
        report = catch_up(each)
        complete = complete and report.complete
        print(report.message)
    raise typer.Exit(0 if complete else 1)


def _go_on(folder: Path, json: bool) -> NoReturn:
    """With the run that lies there; room for it is looked for once more, since the cluster may be another."""
    from orchestrator.cli.foreground import chain_in_foreground, in_foreground
    from orchestrator.folder import RunFolder
    from orchestrator.lifecycle import resume as go_on
    from orchestrator.spec import load
    from orchestrator.workers import on_ray, room_for

    spec = load(RunFolder(folder).spec)
    room_for(spec, _ray_address())
    pool = on_ray(_ray_address())
    if spec.then:
        from orchestrator.chain import resume_chain

        _exit(chain_in_foreground(lambda do: resume_chain(folder, do=do), open_pool=pool, as_json=json))
    _exit(
        in_foreground(spec, lambda view, stop: go_on(folder, open_pool=pool, observers=[view], stop=stop), as_json=json)
    )


def _find(run: str, state: Path) -> Path:
    """The run's folder; tasks are imported from the current one, as when it was started."""
    from orchestrator.cli.runs import find_run

    import_from(Path.cwd())
    return find_run(state, run)


def _plan(spec: Spec, json: bool) -> None:
    from orchestrator.cli.reports import planned
    from orchestrator.plan import plan

    found = plan(spec, _ray_address())
    _print(found, planned(found), json)


def _why(folder: Path, every: bool, json: bool) -> None:
    from orchestrator.chain import runs_of
    from orchestrator.cli.why import HEADER, as_json, line, spans
    from orchestrator.explain import decisions

    parts = runs_of(folder)
    for part in parts:
        if not json:
            print(HEADER if len(parts) == 1 else f"{part.name}\n{HEADER}")
        for span in spans(decisions(part), every=every):
            print(as_json(span) if json else line(span))


def _exit(outcome: Outcome) -> NoReturn:
    raise typer.Exit(EXIT_CODES[outcome.outcome])


def _print(record: object, report: RenderableType, json: bool) -> None:
    """A record as JSON, or its report."""
    if json:
        print(_as_json(record))
    else:
        Console(highlight=False).print(report, crop=False)


def _as_json(record: object) -> str:
    import msgspec

    return json_.dumps(msgspec.to_builtins(record, enc_hook=str), ensure_ascii=False)


def _ray_address() -> str | None:
    """Where Ray says that its cluster is; inside a Ray job it is always set."""
    return os.environ.get("RAY_ADDRESS") or None


def _no_room(spec: Spec) -> Iterator[Complaint]:
    """Why the cluster can never hold this run; Ray is loaded only for a spec that could be read."""
    from orchestrator.workers import no_room

    return no_room(_ray_address())(spec)
