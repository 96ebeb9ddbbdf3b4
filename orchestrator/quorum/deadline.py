"""Whatever a policy decides, until a deadline: then a round closes with what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.records import Decision, Evidence

if TYPE_CHECKING:
    from orchestrator.protocols import Quorum


@dataclass(frozen=True, slots=True)
class Deadline:
    """The policy's decision, with `seconds` > 0 after the round's opening as its deadline.

    at_least: >= 1 results; with fewer the round goes on beyond the deadline, until there are so many.
    """

    policy: Quorum
    seconds: float
    at_least: int = 1

    def decide(self, evidence: Evidence) -> Decision:
        decision = self.policy.decide(evidence)
        deadline_s = max(evidence.opened_s + self.seconds, evidence.now_s)
        at_least = min(self.at_least, decision.wait_for)
        return decision._replace(deadline_s=deadline_s, at_least=at_least)
