"""How much a worker may send for its work: pure bookkeeping, so that no site can fill the engine's memory."""

from __future__ import annotations

from collections.abc import Collection

from cluster.shared_memory import can_name

LEAST_BYTES = 16 << 20
TIMES_INPUTS = 4
"""A site's values may be so many times as large as the inputs of its work together, and LEAST_BYTES in any case."""

VALUES = 64
"""The most values of one piece of work."""


class Allowance:
    """What was sent for each piece of work that is owed. limited: False for workers that the engine launched itself."""

    def __init__(self, limited: bool) -> None:
        self._limited = limited
        self._limit_bytes: dict[str, int] = {}  # by work, as its id is written
        self._sent: dict[str, dict[str, int]] = {}  # size of each value, by work

    def give(self, work_id: int, inputs_bytes: int) -> None:
        """This work is owed from now on."""
        self._limit_bytes[str(work_id)] = max(LEAST_BYTES, TIMES_INPUTS * inputs_bytes)
        self._sent.setdefault(str(work_id), {})

    def owed(self, name: str) -> bool:
        """Whether a value of this name is of work that is owed: "<work id>.<output>"."""
        return self._work_of(name) is not None

    def objection(self, name: str, size_bytes: int) -> str:
        """Why such a value may not be sent, "" if it may; it counts from then on, and a repeat only once."""
        work = self._work_of(name)
        if work is None:
            return "it is of no work that was given to this worker and is still owed"
        sent = self._sent[work] | {name: size_bytes}
        if self._limited and sum(sent.values()) > self._limit_bytes[work]:
            limit_mb = self._limit_bytes[work] / 1e6
            return f"with it the outputs of work {work} are larger than the {limit_mb:,.0f} MB that it may send"
        if self._limited and len(sent) > VALUES:
            return f"work {work} has more than {VALUES} outputs"
        self._sent[work] = sent
        return ""

    def settle(self, work_id: int, wanted: Collection[str]) -> list[str]:
        """The work is owed no longer; returns what was sent for it and is not wanted."""
        self._limit_bytes.pop(str(work_id), None)
        return [name for name in self._sent.pop(str(work_id), {}) if name not in wanted]

    def _work_of(self, name: str) -> str | None:
        work, dot, output = name.partition(".")
        return work if dot and output and work in self._sent and can_name(name) else None
