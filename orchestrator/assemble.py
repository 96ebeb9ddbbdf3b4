"""From a spec to the pure parts of its run."""

from __future__ import annotations

from orchestrator.core import Core
from orchestrator.protocols import Quorum
from orchestrator.spec import Spec
from orchestrator.verbs import verb_of


def core_of(spec: Spec, quorum: Quorum | None = None) -> Core:
    """A new core for this spec; quorum: instead of the spec's own."""
    verb, section = verb_of(spec), spec.section
    return Core(
        verb.strategy(spec),
        quorum or verb.quorum(spec),
        seed=spec.seed,
        min_workers=section.least_workers,
        patience_s=spec.times.patience_s,
        workers=section.first_workers,
    )
