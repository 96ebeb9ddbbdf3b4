"""Values of a `train` section that are each allowed and cannot stand together."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.spec.common import StaticQuorum
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, complaint, dotted
from orchestrator.spec.train import Train
from orchestrator.spec.worker_contradictions import most_of

NEED_GRADIENTS = ("dynamic", "dbw")
NEED_ARRIVALS = ("rate", "dbw")
"""Of late gradients too, which never arrive where they are interrupted."""


def train_contradictions(spec: Spec) -> Iterator[Complaint]:
    train = spec.train
    assert train is not None
    if isinstance(train.quorum, StaticQuorum) and (k := train.quorum.static.k) > (n := train.most_workers):
        most = most_of(spec)
        remedy = f"Use k <= {n} or {dotted(most[1:])} >= {k}."
        why = f"is {k} but {dotted(most)} is {n}, so no round could ever end. {remedy}"
        yield complaint(("train", "quorum", "static", "k"), why, most)
    yield from _micro_batches(train)
    yield from _interrupted(train)
    yield from _local_steps(train)
    stopping, best = train.early_stopping, train.checkpoints.best
    if stopping is not None and best is not None and (stopping.metric, stopping.mode) != (best.metric, best.mode):
        why = (
            f"goes by {best.mode} {best.metric} but train.early_stopping by {stopping.mode} {stopping.metric}, and a "
            "run has one best version. Give both the same."
        )
        yield complaint(("train", "checkpoints", "best"), why, ("train", "early_stopping"))


def _micro_batches(train: Train) -> Iterator[Complaint]:
    size, whole = train.micro_batch_size, train.batch_size
    if size is not None and size > whole:
        why = f"is {size} but train.batch_size is {whole}, so there is nothing to divide. Use at most {whole}."
        yield complaint(("train", "micro_batch_size"), why, ("train", "batch_size"))


def _interrupted(train: Train) -> Iterator[Complaint]:
    size, whole = train.micro_batch_size, train.batch_size
    if train.late != "interrupt":
        return
    if train.local_steps == 1 and (size is None or size >= whole):
        why = (
            "is interrupt, which stops a gradient between two micro-batches, and there is one only. "
            f"Use micro_batch_size < {whole}, or late: drop."
        )
        yield complaint(("train", "late"), why, ("train", "micro_batch_size"))
    if train.quorum in NEED_ARRIVALS:
        why = (
            f"is {train.quorum}, which goes by when late gradients arrive, and with train.late: interrupt none does. "
            "Use dynamic, full, static or adasync, or late: drop."
        )
        yield complaint(("train", "quorum"), why, ("train", "late"))


def _local_steps(train: Train) -> Iterator[Complaint]:
    steps = ("train", "local_steps")
    if train.outer_optimizer is not None and train.local_steps == 1:
        why = "steps along what local steps changed, and train.local_steps is 1. Use local_steps > 1, or leave it out."
        yield complaint(("train", "outer_optimizer"), why, steps)
    if train.local_steps > 1 and train.learning_rate_rule == "knee":
        why = "is knee, which tests single steps, and train.local_steps is above 1. Use constant or proportional."
        yield complaint(("train", "learning_rate_rule"), why, steps)
    if train.local_steps > 1 and train.quorum in NEED_GRADIENTS and train.optimizer.name.lower() != "sgd":
        why = (
            f"is {train.quorum}, which has to know how far local steps reach along a gradient, and of "
            f"{train.optimizer.name} nobody does. Use rate, full or static, or optimizer: {{name: sgd}}."
        )
        yield complaint(("train", "quorum"), why, ("train", "optimizer"))
