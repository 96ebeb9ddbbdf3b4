"""Every kind of work by its name. A new kind is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from trainers.context import Context
from trainers.errors import KindUnknown
from trainers.kinds.aggregate import aggregate
from trainers.kinds.atlas import atlas
from trainers.kinds.candidate import candidate
from trainers.kinds.combine import combine
from trainers.kinds.ensemble import ensemble
from trainers.kinds.evaluate import evaluate
from trainers.kinds.gradient import gradient
from trainers.kinds.init import init
from trainers.kinds.kind import Json, Kind, Outputs
from trainers.kinds.local_steps import local_steps
from trainers.kinds.local_update import local_update
from trainers.kinds.merge import merge_models
from trainers.kinds.partition import partition
from trainers.kinds.predict import predict
from trainers.kinds.range_test import range_test
from trainers.kinds.share import share
from trainers.kinds.trial import trial
from trainers.tensors import Tensors

__all__ = ["KINDS", "Json", "Kind", "Outputs", "run_kind"]

KINDS: Mapping[str, Kind] = {
    "aggregate": aggregate,
    "atlas": atlas,
    "candidate": candidate,
    "combine": combine,
    "ensemble": ensemble,
    "evaluate": evaluate,
    "gradient": gradient,
    "init": init,
    "local_steps": local_steps,
    "local_update": local_update,
    "merge": merge_models,
    "partition": partition,
    "predict": predict,
    "range_test": range_test,
    "share": share,
    "trial": trial,
}


def run_kind(kind: str, inputs: Mapping[str, Tensors], params: Mapping[str, Json], context: Context) -> Outputs:
    """Does a piece of work; context: `for_work` of this very one.

    Raises:
        KindUnknown; and see the kind's function.
    """
    if kind not in KINDS:
        raise KindUnknown(kind, tuple(KINDS))
    return KINDS[kind](inputs, params, context)
