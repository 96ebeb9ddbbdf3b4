"""The metric that a run chooses by: where the task has only the usual ones, it is one of these."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, complaint
from orchestrator.words import did_you_mean

USUAL = ("accuracy", "loss")
"""Of Task.metrics; what a task's own returns is seen when it is called."""


def metric_problems(spec: Spec, where: Keys, metric: str) -> Iterator[Complaint]:
    """where: the key that holds it."""
    from trainers import Task, load_task

    try:
        task = load_task(spec.task)
    except (Exception, SystemExit):  # told elsewhere
        return
    if type(task).metrics is Task.metrics and metric not in USUAL:
        near = did_you_mean(metric, USUAL) or "."
        why = f"is {metric}, which {type(task).__name__}.metrics() does not return{near} Allowed: {', '.join(USUAL)}."
        yield complaint(where, why, ("task",))
