"""How the views of recorded wakes look, letter by letter."""

from __future__ import annotations

import io
import json
import time

import pytest
from rich.console import Console

from orchestrator.goal import Goal
from orchestrator.live import Figures, View, jsonl, plain, plain_view, terminal
from orchestrator.live.figures import Frame
from orchestrator.records import Actions, Decided, Decision, Row, Wake
from tests.support.recorded import spec_of, wakes_of

MIDWAY = 120
"""Wakes into the recorded run."""


@pytest.fixture(scope="module")
def midway() -> Frame:
    """The frame in the middle of a run that waits for three of four."""
    figures = Figures(Goal("epoch", 1.0, "epochs"))
    for number, (wake, actions) in enumerate(wakes_of(spec_of(quorum={"static": {"k": 3}}))):
        figures.add(wake, actions)
        if number == MIDWAY:
            break
    return figures.frame()


def rendered(frame: Frame, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(terminal.block("Digits · 4 workers", frame))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def test_the_block_of_a_terminal(midway: Frame) -> None:
    assert rendered(midway, 80) == BLOCK.strip("\n")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(midway: Frame, width: int) -> None:
    assert max(map(len, rendered(midway, width).splitlines())) <= width


def test_the_line_of_a_log_file(midway: Frame) -> None:
    assert plain.line(midway) == LINE


def test_before_anything_has_happened_all_views_have_something_to_say() -> None:
    frame = Figures(Goal("epoch", 5, "epochs")).frame()
    assert "workers are starting" in rendered(frame, 80)
    assert plain.line(frame) == "0.0 s starting, 0 workers are there"


def test_what_a_run_waits_for_takes_the_place_of_the_quorum() -> None:
    figures = Figures(Goal("epoch", 5, "epochs"))
    figures.add(Wake(0.0, ()), Actions((), (), waiting="1 of at least 2 workers are connected"))
    assert "waiting: 1 of at least 2 workers are connected" in rendered(figures.frame(), 80)
    assert plain.line(figures.frame()) == "0.0 s waiting: 1 of at least 2 workers are connected"


def test_programs_get_one_object_a_line() -> None:
    news: list[Decided | Row] = [Decided(7, 4, 4, 1, Decision(3, "k = 3 of 4")), Row(7, {"loss": 0.5})]
    assert [json.loads(line) for line in jsonl.lines(news)] == [
        {"event": "decided", "round": 7, "eligible": 4, "present": 4, "arrived": 1, "wait_for": 3, "why": "k = 3 of 4"},
        {"event": "recorded", "step": 7, "loss": 0.5},
    ]


def test_every_row_reaches_the_view_once_and_in_order() -> None:
    rows: list[Row] = []
    recorded = list(wakes_of(spec_of(quorum="full")))
    with View(
        Goal("epoch", 1.0, "epochs"),
        lambda frame, news: rows.extend(item for item in news if isinstance(item, Row)),
        0.001,
    ) as view:
        for wake, actions in recorded:
            view.seen(wake, actions)
    assert rows == [row for _, actions in recorded for row in actions.rows]


def test_a_view_that_cannot_draw_falls_silent_and_the_run_goes_on() -> None:
    out = io.StringIO()
    out.close()
    with plain_view(out, Goal("epoch", 1.0, "epochs")) as view:
        for wake, actions in wakes_of(spec_of(quorum="full")):
            view.seen(wake, actions)


def test_a_view_survives_wakes_that_make_no_sense() -> None:
    drawn: list[Frame] = []
    with View(Goal("epoch", 1.0, "epochs"), lambda frame, news: drawn.append(frame), 10.0) as view:
        view.seen(Wake(0.0, ("no event",)), Actions((), ()))  # type: ignore[arg-type]
        view.seen(Wake(0.0, ()), Actions((), ()))


def test_a_wake_costs_microseconds() -> None:
    recorded = list(wakes_of(spec_of(workers=100, quorum="full", epochs=5.0)))
    view = View(Goal("epoch", 1.0, "epochs"), lambda frame, news: None, 10.0)
    fastest_s = min(_seconds(view, recorded) for _ in range(3))
    assert fastest_s / len(recorded) < 50e-6


def _seconds(view: View, recorded: list[tuple[Wake, Actions]]) -> float:
    started_s = time.perf_counter()
    for wake, actions in recorded:
        view.seen(wake, actions)
    return time.perf_counter() - started_s


BLOCK = """
Digits · 4 workers
epochs   ━━━━━━━━━━━━━━━━━━━       0.81 of 1 · 81% · 5.9 s · 1.4 s left
metrics  loss 0.8579
quorum   4 eligible · 4 present · 1 arrived · waits for 3
         static k = 3 of 4 present
speed    900 samples/s · 4.7 rounds/s · 11% of results unused

worker    now              p50     p90     p99      late
worker-0  idle           90 ms  125 ms  172 ms
worker-1  busy 0.08 s    91 ms  122 ms  128 ms
worker-2  busy 0.08 s    97 ms  123 ms  178 ms
worker-3  busy 0.48 s   469 ms  648 ms  668 ms  10 of 10
"""

LINE = (
    "5.9 s 0.81 of 1 epochs · loss 0.8579 · waits for 3 of 4 · "
    "900 samples/s · 4.7 rounds/s · 11% of results unused · 1.4 s left"
)
