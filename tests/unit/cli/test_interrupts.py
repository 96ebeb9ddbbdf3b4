"""What signals do to a run in the foreground, on real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestrator.cli.interrupts import Interrupts

RUN = """
import os, sys, time
from pathlib import Path
from orchestrator.cli.foreground import in_foreground
from orchestrator.outcome import Outcome
from tests.support.recorded import spec_of, wakes_of

spec = spec_of(quorum="full")

def go(view, stop):
    for wake, actions in wakes_of(spec):
        view.seen(wake, actions)
    print("ready", file=sys.stderr, flush=True)
    print("from python")
    os.write(1, b"from native code\\n")
    while WAIT and not stop():
        time.sleep(0.01)
    time.sleep(HOLD)
    outcome = "interrupted" if stop() else "done"
    return Outcome("r-1", Path("runs/r-1"), outcome, {"test_accuracy": 0.9}, 25, 1.0, "epochs", 2.0, 1.0)

outcome = in_foreground(spec, go, as_json=JSON)
sys.exit({"done": 0, "interrupted": 130}[outcome.outcome])
"""


@contextmanager
def a_run(*, wait: bool, as_json: bool = False, hold_s: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """A process in the midst of a run. wait: until it is asked to stop; then it holds on for hold_s."""
    program = RUN.replace("WAIT", str(wait)).replace("JSON", str(as_json)).replace("HOLD", str(hold_s))
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", program], stdout=pipe, stderr=pipe, text=True)
    try:
        assert process.stderr is not None
        while "ready" not in (line := process.stderr.readline()):
            assert line, "the run ended before it began"
        yield process
    finally:
        process.kill()
        process.wait()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it prints from now on, a little of either, until it ends."""
    assert process.stdout is not None
    assert process.stderr is not None
    printed = process.stdout.read(), process.stderr.read()
    process.wait(timeout=30)
    return printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_run_stop_in_order(number: signal.Signals) -> None:
    with a_run(wait=True) as process:
        process.send_signal(number)
        out, err = finish(process)
    assert process.returncode == 130
    assert "stopping: a snapshot is taken" in err
    assert "ripieno resume r-1" in out


def test_the_second_signal_ends_it_at_once() -> None:
    with a_run(wait=True, hold_s=600) as process:
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = finish(process)
    assert process.returncode == 130
    assert "ended at once" in err


def test_json_has_standard_output_for_itself() -> None:
    with a_run(wait=False, as_json=True) as process:
        out, err = finish(process)
    events = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0
    assert {event["event"] for event in events} == {"decided", "recorded", "ended"}
    assert events[-1] | {"event": "ended", "run": "r-1", "outcome": "done", "folder": "runs/r-1"} == events[-1]
    assert "from python" in err
    assert "from native code" in err


def test_in_a_file_the_figures_are_lines_and_the_report_follows() -> None:
    with a_run(wait=False) as process:
        out, _ = finish(process)
    assert "1 of 1 epochs · loss" in out
    assert out.index("1 of 1 epochs") < out.index("done  r-1  1 epochs · 25 rounds · 2.0 s")


def test_who_asks_to_be_told_of_the_first_signal_is_told_once_even_if_late() -> None:
    told: list[str] = []
    with Interrupts() as stop:
        stop.notify(lambda: told.append("early"))
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        stop.notify(lambda: told.append("late"))
    assert told == ["early", "late"]


def test_afterwards_signals_do_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
