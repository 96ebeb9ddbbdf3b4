"""What a `merge` names outside itself: its sources, its methods, and how they fit the task."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.metric_world import metric_problems
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint


def merge_world(spec: Spec) -> Iterator[Complaint]:
    """Cost: reads every source once, and fetches those in MLflow."""
    from orchestrator.merge_models import complaints
    from orchestrator.spec.world import optimizer_problems
    from trainers import load_task

    merge = spec.merge
    assert merge is not None
    if merge.parents is not None:
        yield from optimizer_problems(("merge", "parents", "optimizer"), merge.parents.optimizer)
    try:
        task = load_task(spec.task)
    except (Exception, SystemExit):  # told elsewhere
        return
    yield from metric_problems(spec, (spec.verb, "metric"), merge.metric)
    yield from complaints(spec, task)
