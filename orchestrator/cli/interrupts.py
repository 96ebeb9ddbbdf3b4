"""SIGINT and SIGTERM: the first asks the run to stop where it can be resumed, the second ends it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

INTERRUPTED = 130
SHOW_CURSOR = b"\x1b[?25h"


class Interrupts:
    """Inside `with`, called for an answer: has the run been asked to stop?"""

    def __init__(self) -> None:
        self._requested = False
        self._callbacks: list[Callable[[], None]] = []

    def __call__(self) -> bool:
        return self._requested

    def notify(self, callback: Callable[[], None]) -> None:
        """Has it called once, by the first signal, within its handler: it must be quick, and safe there."""
        self._callbacks.append(callback)
        if self._requested:
            callback()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            os.write(2, SHOW_CURSOR + b"ended at once; the journal is whole up to the last wake\n")
            os._exit(INTERRUPTED)
        self._requested = True
        for callback in self._callbacks:
            callback()
