"""A spec with some keys of its section `train` changed, to be played on the virtual pool."""

from __future__ import annotations

from orchestrator.spec.models import Spec
from orchestrator.spec.train import Checkpoints


def changed(spec: Spec, **train: object) -> Spec:
    """With other keys of its section `train`."""
    assert spec.train is not None
    return spec.model_copy(update={"train": spec.train.model_copy(update=train)})


def without_judgement(spec: Spec) -> Spec:
    """The same, but nothing depends on how good a version of the weights is: nobody knows its accuracy."""
    return changed(spec, early_stopping=None, checkpoints=Checkpoints(), average=None)
