"""What a run looks like while it runs: in a terminal, in a log file, to a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live

from orchestrator.goal import Goal
from orchestrator.live import jsonl, plain, terminal
from orchestrator.live.figures import Figures, Frame, WorkerLine
from orchestrator.live.view import News, View

__all__ = ["Figures", "Frame", "View", "WorkerLine", "json_view", "plain_view", "terminal_view"]

TERMINAL_EVERY_S = 0.2
PLAIN_EVERY_S = 5.0
JSON_EVERY_S = 0.2


@contextmanager
def terminal_view(console: Console, title: Callable[[], str], goal: Goal) -> Iterator[View]:
    """A block of lines, drawn over and over; what others print meanwhile appears above it."""
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:

        def draw(frame: Frame, news: Sequence[News]) -> None:
            live.update(terminal.block(title(), frame), refresh=True)

        with View(goal, draw, TERMINAL_EVERY_S) as view:
            yield view


@contextmanager
def plain_view(out: TextIO, goal: Goal) -> Iterator[View]:
    """A line every few seconds."""

    def draw(frame: Frame, news: Sequence[News]) -> None:
        print(plain.line(frame), file=out, flush=True)

    with View(goal, draw, PLAIN_EVERY_S) as view:
        yield view


@contextmanager
def json_view(out: TextIO, goal: Goal) -> Iterator[View]:
    """A JSON object for each row of figures and each decision."""

    def draw(frame: Frame, news: Sequence[News]) -> None:
        out.writelines(f"{line}\n" for line in jsonl.lines(news))
        out.flush()

    with View(goal, draw, JSON_EVERY_S) as view:
        yield view
