"""Which faults strike a run, in which order: drawn from a seed, so that ten of them hold the whole list."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.support.faults import Fault

SCHEDULES = 10
OF_MLFLOW = [fault for fault in Fault if fault.value.startswith("MLflow")]
LAST = Fault.NON_FINITE_FROM_ALL
"""Ends the run."""

ANYWHERE = [fault for fault in Fault if fault not in OF_MLFLOW and fault is not LAST]


def schedule(seed: int) -> Sequence[Fault]:
    """Two or three of the list that are this seed's, and one more; seed: 0 to SCHEDULES - 1.

    MLflow is back before the end, so that the record can be held against the run; what ends the run comes last.
    """
    random = Random(seed)
    hand = [*list(Fault)[seed::SCHEDULES], random.choice(ANYWHERE)]
    random.shuffle(hand)
    back = [Fault.MLFLOW_BACK] if set(hand) & set(OF_MLFLOW) else []
    end = [LAST] if LAST in hand else []
    return [*(fault for fault in hand if fault not in (Fault.MLFLOW_BACK, LAST)), *back, *end]
