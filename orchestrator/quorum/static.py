"""`static`: wait for a fixed number."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.records import Decision, Evidence


@dataclass(frozen=True, slots=True)
class Static:
    """Wait for k >= 1 results, or for all when fewer workers are present; the others back them up.

    Source: Chen et al. 2016, arXiv:1604.00981, where k = 96 of 100 was best for Inception on ImageNet.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"static waits for k >= 1 results, not k = {self.k}")

    def decide(self, evidence: Evidence) -> Decision:
        if evidence.present < self.k:
            return Decision(evidence.present, f"static k = {self.k}, but only {evidence.present} present")
        return Decision(self.k, f"static k = {self.k} of {evidence.present} present")
