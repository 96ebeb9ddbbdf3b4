"""What a pool that computes in this process calls for each piece of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from orchestrator.errors import RipienoError
from orchestrator.records import Failure, Ref, Work

Execute: TypeAlias = Callable[[Work], tuple[Mapping[str, Ref], Mapping[str, float]]]
"""Does a piece of work: reads its inputs, puts its outputs, returns their references and its metrics.

Raises WorkFailed with the failure to report; any other exception is our mistake and ends the engine.
"""


class WorkFailed(RipienoError):
    """One attempt at a piece of work failed; on its way to becoming a Result."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure

    def __str__(self) -> str:
        return f"{self.failure.cause}: {self.failure.message}"
