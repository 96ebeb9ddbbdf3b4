"""A deadline around a policy: the policy's decision, and a round that ends in time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.quorum import Deadline, make_quorum
from orchestrator.records import Evidence
from tests.unit.quorum.evidences import evidences


@given(evidence=evidences, seconds=st.floats(0.01, 100), at_least=st.integers(1, 50))
def test_it_decides_as_its_policy_and_adds_a_deadline_that_can_be_met(
    evidence: Evidence, seconds: float, at_least: int
) -> None:
    policy = make_quorum("full")
    decision = Deadline(policy, seconds, at_least).decide(evidence)
    assert decision.deadline_s == max(evidence.opened_s + seconds, evidence.now_s)
    assert 1 <= decision.at_least <= decision.wait_for
    assert decision._replace(deadline_s=None, at_least=1) == policy.decide(evidence)
