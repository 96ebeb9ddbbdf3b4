"""The nested runs of a run in MLflow. Imported by the writer process only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlflow.entities import Param, Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from orchestrator.tracking.description import VALUE_LENGTH
from orchestrator.tracking.final import Child
from orchestrator.tracking.mlflow_run import MlflowRun
from orchestrator.tracking.model import log_model
from orchestrator.tracking.names import accepted
from orchestrator.tracking.points import Point

KEY = "ripieno.child"
INHERITED = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")
PAGE = 1000


def log_children(run: MlflowRun, children: Sequence[Child], paths: Sequence[str], zero_ms: int) -> str:
    """Logs each child once: one that is finished is left alone, one that was begun is gone on with.

    paths: where their task is looked for first. zero_ms: Unix time at which the run's clock was 0.
    Returns what is to be said of their models, or "". May be called again after a failure, which changes nothing twice.
    Cost: three requests a child, and 1 to 3 s for its model.
    """
    parent = run.client.get_run(run.run_id)
    known = {found.data.tags[KEY]: found for found in _nested(run, parent)}
    remarks = []
    for child in children:
        found = known.get(child.key) or _created(run, parent, child, zero_ms)
        if found.info.status != "FINISHED":
            remarks.append(_log(MlflowRun(run.client, found.info.run_id), child, paths, zero_ms))
    return next(filter(None, remarks), "")


def _nested(run: MlflowRun, parent: Run) -> Iterator[Run]:
    """All its children so far."""
    ours, token = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.run_id}' AND tags.`{KEY}` LIKE '%'", None
    while token != "":
        found = run.client.search_runs([parent.info.experiment_id], ours, max_results=PAGE, page_token=token)
        yield from found
        token = found.token or ""


def _created(run: MlflowRun, parent: Run, child: Child, zero_ms: int) -> Run:
    tags = {name: parent.data.tags[name] for name in INHERITED if name in parent.data.tags}
    tags |= {MLFLOW_PARENT_RUN_ID: run.run_id, KEY: child.key}
    return run.client.create_run(parent.info.experiment_id, _ms(zero_ms, child.started_s), tags, run_name=child.name)


def _log(run: MlflowRun, child: Child, paths: Sequence[str], zero_ms: int) -> str:
    ended_ms = _ms(zero_ms, child.ended_s)
    params = {accepted(name): text[:VALUE_LENGTH] for name, text in child.params.items()}
    points = [Point(accepted(name), value, ended_ms, step) for name, value, step in child.metrics]
    run.log(points, params=[Param(*pair) for pair in params.items()])
    last = max((point.step for point in points), default=0)
    latest = [point for point in points if point.step == last]
    remark = log_model(run, child.model, paths, latest) if child.model else ""
    run.end("done", ended_ms, {})
    return remark


def _ms(zero_ms: int, at_s: float) -> int:
    return zero_ms + round(at_s * 1000)
