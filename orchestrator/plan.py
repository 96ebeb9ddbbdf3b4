"""What a run would do, without doing it: `ripieno run --check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.local import Local
from orchestrator.outcome import Plan
from orchestrator.spec import Spec
from orchestrator.spec.stages import continued
from orchestrator.uris import printable
from orchestrator.verbs import verb_of
from orchestrator.workers import needs_of, room_for


def plan(spec: Spec, address: str | None) -> Plan:
    """Loads the task and its data here, and asks the cluster what it has. Starts nothing, writes nothing.

    address: of the Ray cluster; None: this machine.
    Raises:
        NoPlace: the cluster cannot be reached, or can never have what the run needs.
    """
    has, needs = room_for(spec, address), needs_of(spec)
    local, verb = Local(spec), verb_of(spec)
    state = Path(spec.state).resolve()
    return Plan(
        task=spec.task,
        rows=[*verb.plan(spec, local), *verb.describe(spec), *_stages(spec)],
        parameters=local.parameters(),
        cluster=address or "this machine",
        needs={"CPU": sum(need.cpu for need in needs), "GPU": sum(need.gpu for need in needs)},
        has=has,
        state=state,
        tracking_uri=printable(spec.tracking_uri(state)) if spec.tracking.enabled else "",
    )


def _stages(spec: Spec) -> Iterator[tuple[str, str]]:
    """The later stages of a chain, a row each."""
    before = spec.verb
    for number, stage in enumerate(spec.then, start=1):
        later = continued(spec, number, f"r-….{number}-{before}", {})
        yield f"then {stage.verb}", "; ".join(f"{name} {value}" for name, value in verb_of(later).describe(later))
        before = stage.verb
