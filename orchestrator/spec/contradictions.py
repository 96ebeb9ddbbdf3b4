"""Values of a spec that are each allowed and cannot stand together."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.models import StaticQuorum, TrainSpec
from orchestrator.spec.problems import Complaint, Keys


def contradictions(spec: TrainSpec) -> Iterator[Complaint]:
    """All of them; pure."""
    n = spec.train.workers
    workers: Keys = ("train", "workers")
    if isinstance(spec.train.quorum, StaticQuorum) and (k := spec.train.quorum.static.k) > n:
        why = f"is {k} but train.workers is {n}, so no round could ever end. Use k <= {n} or workers >= {k}."
        yield _complaint("train.quorum.static.k", why, workers)
    if (least := spec.train.min_workers) > n:
        remedy = f"Use min_workers <= {n} or workers >= {least}."
        why = f"is {least} but train.workers is {n}, so the run would wait for ever. {remedy}"
        yield _complaint("train.min_workers", why, workers)
    if spec.inject.slow is not None and (slow := spec.inject.slow.worker) >= n:
        why = f"is {slow} but train.workers is {n}, and workers count from 0. Use worker <= {n - 1}."
        yield _complaint("inject.slow.worker", why, workers)
    if (gpu := spec.resources.per_worker.gpu) > 1 and gpu % 1:
        why = f"is {gpu:g}, but above 1 only whole GPUs are given. Use {int(gpu)} or {int(gpu) + 1}."
        yield _complaint("resources.per_worker.gpu", why)


def _complaint(path: str, why: str, *others: Keys) -> Complaint:
    return Complaint((tuple(path.split(".")), *others), f"{path} {why}")
