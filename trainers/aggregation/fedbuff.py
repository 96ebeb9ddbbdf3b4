"""FedBuff: a step along a buffer of updates, those of old weights counting less; nobody waits for anybody."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import msgspec

from trainers.aggregation.rule import Cohort, Combined, Served
from trainers.aggregation.values import mean_of, with_buffers
from trainers.flat import PARAMETERS
from trainers.mean import weighted_sum


class FedBuff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """w ← w + η·(1/M)·Σᵢ (yᵢ - w of version vᵢ) / √(1 + staleness) over the M updates of the buffer.

    Divided by M and not by the sum of factors, so that staleness shared by all still shortens the step.
    server_lr: η > 0. Floating-point buffers are the clients' mean, weighted by 1/√(1 + staleness).
    Exact: with η = 1 and nothing stale it is the unweighted mean of the clients' weights, bit for bit.
    Source: Nguyen et al. 2022, arXiv:2106.06639, without its differential privacy.
    """

    uses_proxy: ClassVar[bool] = False
    has_control: ClassVar[bool] = False

    server_lr: float = 1.0

    def combine(self, cohort: Cohort, proxy: Served) -> Combined:
        updates = cohort.updates
        models = [update.weights for update in updates]
        factors = [1.0 / sqrt(1.0 + update.staleness) for update in updates]
        staleness = {"staleness": sum(update.staleness for update in updates) / len(updates)}
        if self.server_lr == 1.0 and not any(update.staleness for update in updates):
            return Combined(mean_of(models, factors), {}, staleness)
        flats, steps = [cohort.weights[PARAMETERS]], [1.0]
        for update, factor in zip(updates, factors, strict=True):
            flats += [update.weights[PARAMETERS], update.base[PARAMETERS]]
            steps += [self.server_lr * factor / len(updates), -self.server_lr * factor / len(updates)]
        return Combined(with_buffers(weighted_sum(flats, steps), models, factors), {}, staleness)
