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
    Cause.BAD_REPLY: Retry(2, elsewhere=True),
}
"""Work pinned to a worker cannot go elsewhere: where `elsewhere` holds it is told as failed at once."""


HOPELESS: Mapping[Cause, str] = {
    Cause.NON_FINITE: "every present worker returned NaN or Inf ({}): lower the learning rate",
    Cause.OUT_OF_MEMORY: "every present worker ran out of memory ({}): give them less at a time",
    Cause.USER_ERROR: "every present worker raised {}",
}
"""Causes that end the run once they are the latest that each present worker had to say."""


@dataclass(slots=True)
class Troubles:
    """Failures that a retry would only repeat.

    last_error: message of the latest USER_ERROR if no work succeeded since, else "".
    latest: by worker that failed for a HOPELESS cause and did not succeed since, the cause, and what it raised.
    """

    last_error: str = ""
    latest: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.last_error or self.latest)

    def succeeded(self, worker: str) -> None:
        self.last_error = ""
        self.latest.pop(worker, None)

    def left(self, worker: str) -> None:
        self.latest.pop(worker, None)

    def stalled(self) -> str:
        """Why nobody is asked any more, if it is because of failures, or ""."""
        failed = ", ".join(f"{worker} ({cause})" for worker, (cause, _) in self.latest.items())
        return f"no worker is left to ask: the latest work of these failed: {failed}" if failed else ""

    def failed(self, worker: str, failure: Failure, present: Collection[str]) -> str:
        """Why the run must end now, or "". present: the connected workers that share this one's role."""
        cause, message = failure.cause, failure.message
        if cause not in HOPELESS:
            return ""
        raised = cause is Cause.USER_ERROR
        repeated = raised and message == self.last_error
        self.last_error = message if raised else self.last_error
        self.latest[worker] = (cause, message if raised else "")
        if repeated:
            return f"two pieces of work in a row raised {message}"
        if all(self.latest.get(other) == self.latest[worker] for other in present):
            return HOPELESS[cause].format(message)
        return ""
