"""`full`: wait for all."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.records import Decision, Evidence


@dataclass(frozen=True, slots=True)
class Full:
    """Wait for every worker present: large-batch SGD, as fast as the slowest."""

    def decide(self, evidence: Evidence) -> Decision:
        return Decision(evidence.present, f"all {evidence.present} present")
