"""What the commands print about runs: pure, from records to lines and tables, to be printed uncropped."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.attendance import quantiles
from orchestrator.cli.runs import Run
from orchestrator.folder import RunFolder
from orchestrator.outcome import FEW_WORKERS, Faults, Outcome, Plan, Replayed, TimeSaved, WorkerFigures
from orchestrator.words import duration, metric, seconds

if TYPE_CHECKING:
    from orchestrator.doctor import Finding

DEFAULT_STATE = Path("runs")
NAMES = 13
"""Columns of the names of values: "test accuracy"."""
COLOURS = {"done": "green", "failed": "red", "interrupted": "yellow", "stopped": "yellow", "running": "cyan"}


def ended(outcome: Outcome, more: Sequence[tuple[str, str]] = ()) -> RenderableType:
    """How a run ended, where things are, and what can be done next; more: further rows."""
    head = _head(outcome.run, outcome.outcome, _how_far(outcome))
    head.append(duration(outcome.elapsed_s))
    rows = [(name.replace("_", " "), f"{outcome.metrics[name]:.4g}") for name in sorted(outcome.metrics, key=_rank)]
    if outcome.time_saved is not None:
        rows.append(("time saved", _time_saved(outcome.time_saved)))
    rows.extend(outcome.rows)
    rows.append(("goodput", _goodput(outcome)))
    rows.extend(_faults(outcome.faults))
    if outcome.peak_memory_bytes:
        rows.append(("memory", f"at most {outcome.peak_memory_bytes / 1e6:,.0f} MB for the engine's own process"))
    if outcome.model_file is not None:
        rows.append(("model", f"{_short(outcome.model_file)} (sha256 {outcome.weights_sha256[:12]}…)"))
    rows.append(("journal", _short(RunFolder(outcome.folder).journal)))
    if outcome.mlflow_run_id:
        rows.append(("MLflow", f"run {outcome.mlflow_run_id}"))
    why: list[RenderableType] = [Text(outcome.reason), ""] if outcome.reason else []
    workers = ["", _workers(outcome.workers)] if outcome.workers else []
    return Group(*why, head, "", pairs([*rows, *more]), *workers, "", _commands(_next(outcome)))


def planned(plan: Plan) -> RenderableType:
    """What a run would do."""
    rows = [
        ("task", plan.task),
        ("model", f"{plan.parameters:,} parameters"),
        *plan.rows,
        ("cluster", f"{plan.cluster}: needs {_resources(plan.needs)}; has {_resources(plan.has)}"),
        ("state", _short(plan.state)),
        ("tracking", plan.tracking_uri or "off"),
    ]
    return Group(pairs(rows), "", Text("this run can start; nothing was started", style="dim"))


def replayed(result: Replayed) -> RenderableType:
    """Whether a run came out the same again."""
    verdict = Text("same as before", style="green") if result.same else Text("not the same", style="bold red")
    head = Text.assemble((result.run, "bold"), "  ", verdict)
    rows = [("decisions", f"{result.decisions:,} compared, from {result.wakes:,} wakes")]
    rows += [("differs", sentence) for sentence in result.differing]
    rows.append(("weights", result.weights_sha256))
    if result.journalled_sha256 not in ("", result.weights_sha256):
        rows.append(("journalled", result.journalled_sha256))
    return Group(head, "", pairs(rows))


def listed(runs: Iterable[Run]) -> RenderableType:
    """One line a run."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("run", "status", "task", "result", "took", "started"):
        table.add_column(name, justify="right" if name == "took" else "left", no_wrap=name != "task")
    for run in runs:
        outcome = run.outcome
        table.add_row(
            run.run,
            Text(run.status, style=COLOURS.get(run.status, "")),
            str(run.spec.get("task", "?")).rpartition(":")[2],
            _headline(outcome.metrics) if outcome else "",
            duration(outcome.elapsed_s) if outcome else "",
            datetime.fromtimestamp(run.started_s).strftime("%b %d %H:%M"),
        )
    return table


def shown(run: Run) -> RenderableType:
    """All about one run."""
    rows = [("started", datetime.fromtimestamp(run.started_s).strftime("%Y-%m-%d %H:%M:%S")), *_spec(run.spec)]
    if run.outcome is not None and run.status == run.outcome.outcome:
        return ended(run.outcome, rows)
    rows.append(("journal", _short(RunFolder(run.folder).journal)))
    again = [("resume {}", "go on")] if run.status == "stopped" else []
    what = [*again, ("show {} --why", "decisions")]
    return Group(_head(run.run, run.status), "", pairs(rows), "", _commands(_verbs(run.folder, what)))


def examined(finding: Finding) -> RenderableType:
    """One thing that the doctor looked at."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=1)
    table.add_column(style="dim", min_width=10)
    table.add_column(overflow="fold")
    mark = Text("✓", style="green") if finding.well else Text("!", style="bold yellow")
    advice = (f"\n{finding.advice}", "yellow") if finding.advice else ""
    table.add_row(mark, finding.what, Text.assemble(finding.found, advice))
    return table


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values, one below the other."""
    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim", no_wrap=True, min_width=NAMES)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value, overflow="fold"))
    return table


def _how_far(outcome: Outcome) -> str:
    rounds = "" if outcome.unit == "rounds" else f"{outcome.rounds:,} rounds · "
    return f"{outcome.done:,.4g} {outcome.unit} · {rounds}"


def _head(run: str, status: str, rest: str = "") -> Text:
    return Text.assemble((status, f"bold {COLOURS.get(status, '')}"), "  ", (run, "bold"), "  ", rest)


def _time_saved(saved: TimeSaved) -> str:
    """Against waiting for all: what counts is the same data; as many rounds is what others report."""
    same_data, same_rounds = 1 - saved.actual_s / saved.same_data_s, 1 - saved.actual_s / saved.full_s
    if same_data <= 0:
        return f"none: by the run's own timings, waiting for all would have taken {duration(saved.same_data_s)}"
    times = f"{duration(saved.actual_s)}, not {duration(saved.same_data_s)}"
    return f"{same_data:.0%} ({times}) against waiting for all for the same data; {same_rounds:.0%} for as many rounds"


def _goodput(outcome: Outcome) -> str:
    used = f"{outcome.goodput:.0%} of the workers' results were used"
    return f"{used}, and {outcome.useful_time:.0%} of their time" if outcome.workers else used


def _faults(faults: Faults) -> Iterator[tuple[str, str]]:
    """What went wrong, and how long it took to go on."""
    if faults.failures:
        failed = ", ".join(f"{count:,} {cause}" for cause, count in sorted(faults.failures.items()))
        yield "failed", f"{failed}; {faults.retried:,} retried"
    if faults.repeats:
        yield "repeated", f"{faults.repeats:,} answers, each counted once"
    if faults.left:
        yield "workers lost", f"{faults.left:,}; {faults.replaced:,} came back, or another in its place"
    for name, failovers_s, until in (
        ("worker", faults.worker_s, "until one in its place was in a round"),
        ("aggregator", faults.aggregator_s, "until the next step"),
        ("engine", faults.engine_s, "from its end to the first new round"),
    ):
        if failovers_s:
            longest = f", {seconds(max(failovers_s))} at most" if len(failovers_s) > 1 else ""
            yield f"{name} back", f"{seconds(quantiles(failovers_s)[0])}{longest}, {until}"


def _workers(workers: Sequence[WorkerFigures]) -> RenderableType:
    """Who was late most often first; of many only those."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("worker", no_wrap=True)
    for name in ("results", "late", "", "failed", "p50", "p90", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for worker in workers[:FEW_WORKERS]:
        trips = ("" if trip_s is None else seconds(trip_s) for trip_s in (worker.p50_s, worker.p90_s, worker.p99_s))
        late = (f"{worker.late:,}", f"{worker.late_share:.0%}") if worker.late else ("", "")
        table.add_row(
            worker.worker, f"{worker.answered:,}", *late, f"{worker.failed:,}" if worker.failed else "", *trips
        )
    if (rest := len(workers) - FEW_WORKERS) > 0:
        table.add_row(Text(f"{rest:,} more in workers.arrow", style="dim"))
    return table


def _next(outcome: Outcome) -> Sequence[tuple[str, str]]:
    """Commands that make sense now, and what each does."""
    commands = []
    if outcome.mlflow_run_id and outcome.tracking_uri.startswith(("sqlite", "postgresql", "mysql", "mssql")):
        commands.append((f"mlflow ui --backend-store-uri {shlex.quote(outcome.tracking_uri)}", "curves"))
    elif outcome.mlflow_run_id:
        commands.append((outcome.tracking_uri, "curves"))
    verbs = [("show {} --why", "decisions")]
    if outcome.outcome == "done":
        verbs.append(("replay {}", "do again"))
    if outcome.outcome == "interrupted":
        verbs.insert(0, ("resume {}", "go on"))
    return [*commands, *_verbs(outcome.folder, verbs)]


def _verbs(folder: Path, verbs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Commands of ours; {} stands for the run."""
    state = folder.parent
    where = "" if state.absolute() == DEFAULT_STATE.absolute() else f" --state {shlex.quote(_short(state))}"
    return [(f"ripieno {verb.format(folder.name)}{where}", what) for verb, what in verbs]


def _commands(commands: Iterable[tuple[str, str]]) -> RenderableType:
    """What each is for, and the command, never broken: it is there to be copied."""
    lines = (Text.assemble((f"{what:<{NAMES}}   ", "dim"), (command, "cyan")) for command, what in commands)
    return Text("\n", no_wrap=True, overflow="ignore").join(lines)


def _headline(metrics: Mapping[str, float]) -> str:
    """The metric that people ask for first."""
    first = min(metrics, key=_rank, default=None)
    return "" if first is None else metric(first, metrics[first])


def _rank(name: str) -> tuple[int, str]:
    """Of the final test first, accuracy and the like before the loss."""
    split, _, rest = name.partition("_")
    return {"test": 0, "validation": 1}.get(split, 2), rest


def _spec(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked for; little of a spec that is damaged or of another version."""
    from orchestrator.spec import Spec
    from orchestrator.verbs import verb_of

    try:
        wanted = Spec.model_validate(spec)
        return [("task", wanted.task), *verb_of(wanted).describe(wanted)]
    except ValueError:
        return [("task", str(spec.get("task", "?")))]


def _resources(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items()) or "nothing"


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
