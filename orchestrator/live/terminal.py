"""The live view of a terminal: one frame as a block of lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.live.figures import Frame, WorkerLine
from orchestrator.live.plain import OVER, rates
from orchestrator.words import amount, duration, metric, seconds


def block(title: str, frame: Frame) -> RenderableType:
    """All of a frame; title: of the run."""
    body = Table.grid(padding=(0, 2))
    body.add_column(style="dim", no_wrap=True)
    body.add_column()
    body.add_row(frame.unit, _progress(frame))
    body.add_row("metrics", _metrics(frame))
    body.add_row("quorum", _quorum(frame))
    body.add_row("speed", _speed(frame))
    parts: list[RenderableType] = [Text(title, style="bold", no_wrap=True, overflow="ellipsis"), body]
    if frame.lines:
        parts += ["", _workers(frame.lines)]
    return Group(*parts)


def _progress(frame: Frame) -> RenderableType:
    share = min(frame.done / frame.total, 1.0)
    left = f" · {duration(frame.left_s)} left" if frame.left_s is not None else ""
    row = Table.grid(padding=(0, 2))
    row.add_column(width=24)
    row.add_column(no_wrap=True)
    row.add_row(
        ProgressBar(total=1.0, completed=share, width=24),
        f"{amount(frame.done)} of {frame.total:g} · {share:.0%} · {duration(frame.elapsed_s)}{left}",
    )
    return row


def _metrics(frame: Frame) -> Text:
    known = {} if frame.loss is None else {"loss": frame.loss}
    return Text(" · ".join(metric(*item) for item in (known | dict(frame.evaluations)).items()) or "none yet")


def _quorum(frame: Frame) -> Text:
    if frame.waiting:
        return Text(f"waiting: {frame.waiting}", style="yellow")
    if frame.over:
        return Text(OVER)
    if not frame.present:
        return Text("workers are starting")
    sets = f"{frame.eligible} eligible · {frame.present} present · {frame.arrived} arrived"
    if frame.wait_for is None:
        return Text(sets)
    return Text.assemble(sets, " · waits for ", (str(frame.wait_for), "bold"), (f"\n{frame.why}", "dim"))


def _speed(frame: Frame) -> Text:
    text = Text(" · ".join(rates(frame)))
    if frame.failures:
        failed = ", ".join(f"{count} {cause}" for cause, count in sorted(frame.failures.items()))
        text.append(f" · failed: {failed}", "yellow")
    return text


def _workers(lines: Sequence[WorkerLine]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("worker")
    table.add_column("now", min_width=12)
    for name in ("p50", "p90", "p99"):
        table.add_column(name, justify="right")
    table.add_column("late", justify="right")
    for line in lines:
        trips = ("" if trip_s is None else seconds(trip_s) for trip_s in (line.p50_s, line.p90_s, line.p99_s))
        late = f"{line.late:,} of {line.answered:,}" if line.late else ""
        table.add_row(line.worker, _now(line), *trips, late)
    return table


def _now(line: WorkerLine) -> Text:
    if line.gone_s is not None:
        return Text(f"gone {line.gone_s:.1f} s", "red")
    return Text("idle", "dim") if line.busy_s is None else Text(f"busy {line.busy_s:.2f} s", "green")
