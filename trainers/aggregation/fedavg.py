"""FedAvg: the mean of the clients' weights, each in proportion to its samples."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from trainers.aggregation.rule import Cohort, Combined, Served
from trainers.aggregation.values import mean_of
from trainers.tensors import Tensors


class FedAvg(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """w ← Σᵢ λᵢ·wᵢ with λᵢ = nᵢ / Σⱼ nⱼ.

    Exact: sums in float64 in order of work id; a single client's weights come through bit for bit.
    Source: McMahan et al. 2017, arXiv:1602.05629, algorithm 1.
    """

    uses_proxy: ClassVar[bool] = False
    has_control: ClassVar[bool] = False

    def combine(self, cohort: Cohort, proxy: Served) -> Combined:
        return Combined(averaged(cohort), {}, {})


def averaged(cohort: Cohort) -> Tensors:
    """The mean weighted by samples: where rules that learn more begin, and to which they fall back."""
    updates = cohort.updates
    return mean_of([update.weights for update in updates], [update.samples for update in updates])
