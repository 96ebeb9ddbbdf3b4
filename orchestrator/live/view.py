"""The observer behind every live view: adds up in the engine's loop, draws from a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Self, TypeAlias

import structlog

from orchestrator.goal import Goal
from orchestrator.live.figures import Figures, Frame
from orchestrator.records import Actions, Decided, Row, Wake

News: TypeAlias = Row | Decided
Draw: TypeAlias = Callable[[Frame, Sequence[News]], None]
"""Shows a frame, and what was recorded and decided since the last one."""

MOST_NEWS = 100_000
"""Kept until the next drawing; older ones are dropped if whoever reads our output does not read."""


class View:
    """Draws every `every_s` seconds between `with` and its end, and once more then.

    If drawing fails (a closed pipe, a mistake of ours) the view falls silent and the run goes on.
    """

    def __init__(self, goal: Goal, draw: Draw, every_s: float) -> None:
        self._figures, self._draw, self._every_s = Figures(goal), draw, every_s
        self._news: deque[News] = deque(maxlen=MOST_NEWS)
        self._last = 0.0, monotonic()  # the newest wake by the pool's clock, and by ours
        self._lock, self._ended, self._broken = Lock(), Event(), False
        self._thread = Thread(target=self._run, name="live view", daemon=True)

    def seen(self, wake: Wake, actions: Actions) -> None:
        """Adds up one wake."""
        if self._broken:
            return
        try:
            with self._lock:
                self._figures.add(wake, actions)
                self._last = wake.now_s, monotonic()
                self._news.extend(actions.decided)
                self._news.extend(actions.rows)
        except Exception as error:  # whatever it is, it must not end the run
            self._fall_silent(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._show()

    def _run(self) -> None:
        self._show()
        while not self._ended.wait(self._every_s):
            self._show()

    def _show(self) -> None:
        if self._broken:
            return
        try:
            with self._lock:
                now_s = self._last[0] + monotonic() - self._last[1]
                frame, news = self._figures.frame(now_s), tuple(self._news)
                self._news.clear()
            self._draw(frame, news)
        except Exception as error:
            self._fall_silent(error)

    def _fall_silent(self, error: Exception) -> None:
        self._broken = True
        structlog.get_logger().warning("live_view_stopped", error=repr(error))
