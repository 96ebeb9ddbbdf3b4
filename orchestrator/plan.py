"""What a run would do, without doing it: `ripieno run --check`."""

from __future__ import annotations

from math import ceil
from pathlib import Path

from orchestrator.local import Local
from orchestrator.outcome import Plan
from orchestrator.spec import TrainSpec
from orchestrator.workers import needs_of, room_for
from trainers import Split


def plan(spec: TrainSpec, address: str | None) -> Plan:
    """Loads the task and its data here, and asks the cluster what it has. Starts nothing, writes nothing.

    address: of the Ray cluster; None: this machine.
    Raises:
        NoPlace: the cluster cannot be reached, or can never have what the run needs.
    """
    has, needs = room_for(spec, address), needs_of(spec)
    local = Local(spec)
    samples = local.samples(Split.TRAIN)
    blocks = ceil(samples / spec.train.batch_size)
    state = Path(spec.state).resolve()
    return Plan(
        task=spec.task,
        workers=spec.train.workers,
        samples=samples,
        blocks=blocks,
        rounds_per_epoch=(ceil(blocks / spec.train.workers), blocks),
        parameters=local.parameters(),
        cluster=address or "this machine",
        needs={"CPU": sum(need.cpu for need in needs), "GPU": sum(need.gpu for need in needs)},
        has=has,
        state=state,
        tracking_uri=spec.tracking_uri(state) if spec.tracking.enabled else "",
    )
