"""What the core does about a failed attempt: one table, and the patterns that end a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.records import Cause, Failure


class Retry(NamedTuple):
    """attempts: how often one work may fail with this cause, None: without limit. elsewhere: not where it failed."""

    attempts: int | None
    elsewhere: bool


RETRIES: Mapping[Cause, Retry] = {
    Cause.LOST_WORKER: Retry(3, elsewhere=True),
    Cause.LOST_NODE: Retry(3, elsewhere=True),
    Cause.PREEMPTED: Retry(None, elsewhere=True),
    Cause.TIMEOUT: Retry(2, elsewhere=False),
    Cause.USER_ERROR: Retry(2, elsewhere=True),
    Cause.OUT_OF_MEMORY: Retry(1, elsewhere=True),
    Cause.NON_FINITE: Retry(1, elsewhere=True),
    Cause.BAD_REPLY: Retry(1, elsewhere=True),
}
"""Work pinned to a worker cannot go elsewhere: where `elsewhere` holds it is told as failed at once."""


@dataclass(slots=True)
class Troubles:
    """Failures that a retry would only repeat.

    last_error: message of the latest USER_ERROR if no work succeeded since, else "".
    non_finite: workers whose latest result was NON_FINITE.
    raising: workers whose latest result was a USER_ERROR, with its message.
    """

    last_error: str = ""
    non_finite: dict[str, None] = field(default_factory=dict)
    raising: dict[str, str] = field(default_factory=dict)

    def succeeded(self, worker: str) -> None:
        self.last_error = ""
        self.non_finite.pop(worker, None)
        self.raising.pop(worker, None)

    def left(self, worker: str) -> None:
        self.non_finite.pop(worker, None)
        self.raising.pop(worker, None)

    def failed(self, worker: str, failure: Failure, present: Collection[str]) -> str:
        """Why the run must end now, or "". present: the connected workers that share this one's role."""
        if failure.cause is Cause.NON_FINITE:
            self.non_finite[worker] = None
            if all(other in self.non_finite for other in present):
                return f"every present worker returned NaN or Inf ({failure.message}): lower the learning rate"
        if failure.cause is Cause.USER_ERROR:
            repeated, self.last_error = failure.message == self.last_error, failure.message
            self.raising[worker] = failure.message
            if repeated:
                return f"two pieces of work in a row raised {failure.message}"
            if all(self.raising.get(other) == failure.message for other in present):
                return f"every present worker raised {failure.message}"
        return ""
