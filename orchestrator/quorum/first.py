"""`first`: wait for one."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.records import Decision, Evidence


@dataclass(frozen=True, slots=True)
class First:
    """Wait for a single result: for asynchronous strategies, whose one endless round takes results as they come."""

    def decide(self, evidence: Evidence) -> Decision:
        return Decision(1, f"the first of {evidence.present} present")
