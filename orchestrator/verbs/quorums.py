"""A quorum as a spec has it: the policy, and its name for people."""

from __future__ import annotations

from orchestrator.protocols import Quorum
from orchestrator.quorum import make_quorum
from orchestrator.spec import Quorum as Chosen
from orchestrator.spec import StaticQuorum


def quorum_of(chosen: Chosen) -> Quorum:
    if isinstance(chosen, StaticQuorum):
        return make_quorum("static", k=chosen.static.k)
    return make_quorum(chosen)


def quorum_name(chosen: Chosen) -> str:
    """ "dynamic", "static: {k: 3}"."""
    return f"static: {{k: {chosen.static.k}}}" if isinstance(chosen, StaticQuorum) else chosen
