"""A run in the foreground: its view, its signals, and what is printed at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import msgspec
import structlog
from rich.console import Console

from orchestrator.begun import has_begun
from orchestrator.chain import DoStage
from orchestrator.cli.interrupts import Interrupts
from orchestrator.cli.reports import ended
from orchestrator.folder import RunFolder
from orchestrator.lifecycle import OpenPool, resume, start
from orchestrator.live import json_view, jsonl, plain_view, terminal_view
from orchestrator.outcome import Outcome
from orchestrator.protocols import Observer
from orchestrator.spec import Spec
from orchestrator.verbs import verb_of

Go: TypeAlias = Callable[[Observer, Interrupts], Outcome]
"""Does the run: told to the observer, stopped when the other says so."""

STOPPING = "stopping: a snapshot is taken, then the run can be resumed; the same again ends it at once"


def in_foreground(spec: Spec, go: Go, *, as_json: bool) -> Outcome:
    """Watches a run, and prints how it ended: a block in a terminal, lines elsewhere, or JSON."""
    console = Console(highlight=False)
    if as_json:
        outcome = _for_programs(spec, go)
    elif console.is_terminal:
        outcome = _for_people(spec, go, console)
    else:
        _log_to_stderr("info")
        with _announced() as stop, plain_view(sys.stdout, verb_of(spec).goal(spec)) as view:
            outcome = go(view, stop)
    if not as_json:
        console.print("", ended(outcome), sep="\n", crop=False)
    return outcome


def chain_in_foreground(carry: Callable[[DoStage], Outcome], *, open_pool: OpenPool, as_json: bool) -> Outcome:
    """Watches the stages of a chain, one after another, and prints how each and the whole ended."""

    def do(spec: Spec, run: str, parent: str) -> Outcome:
        files = RunFolder(Path(spec.state).resolve() / run)
        if has_begun(files):
            return in_foreground(
                spec,
                lambda view, stop: resume(files.path, open_pool=open_pool, observers=[view], stop=stop),
                as_json=as_json,
            )
        return in_foreground(
            spec,
            lambda view, stop: start(spec, open_pool=open_pool, observers=[view], name=run, stop=stop, parent=parent),
            as_json=as_json,
        )

    outcome = carry(do)
    if as_json:
        print(jsonl.line("ended", msgspec.to_builtins(outcome, enc_hook=str)))
    else:
        Console(highlight=False).print("", ended(outcome), sep="\n", crop=False)
    return outcome


def _for_people(spec: Spec, go: Go, console: Console) -> Outcome:
    name = " · ".join(
        [f"{spec.verb} {spec.task.rpartition(':')[2]}", *(what for _, what in verb_of(spec).describe(spec))]
    )
    _log_to_stderr("warning")
    with (
        Interrupts() as stop,
        terminal_view(console, lambda: STOPPING if stop() else name, verb_of(spec).goal(spec)) as view,
    ):
        return go(view, stop)


def _for_programs(spec: Spec, go: Go) -> Outcome:
    _log_to_stderr("info")
    with _own_stdout() as out:
        with _announced() as stop, json_view(out, verb_of(spec).goal(spec)) as view:
            outcome = go(view, stop)
        print(jsonl.line("ended", msgspec.to_builtins(outcome, enc_hook=str)), file=out)
    return outcome


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Standard output for us alone: what others print there, native code included, goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _announced() -> Iterator[Interrupts]:
    """Interrupts that say on standard error that they were heard."""
    with Interrupts() as stop:
        stop.notify(_say_stopping)
        yield stop


def _say_stopping() -> None:
    os.write(2, f"{STOPPING}\n".encode())  # a signal may come in the midst of a print, which cannot be entered again


def _log_to_stderr(level: str) -> None:
    """Events as words and fields; standard error is looked up at each line, since a live view may stand in for it."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_stderr_logger,
    )


def _stderr_logger(*_: Any) -> structlog.PrintLogger:
    return structlog.PrintLogger(sys.stderr)
