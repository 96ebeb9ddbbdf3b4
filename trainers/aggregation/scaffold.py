"""SCAFFOLD: controls of server and clients take the drift out of local training on one-sided data."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from trainers.aggregation.rule import Cohort, Combined, Served
from trainers.aggregation.values import with_buffers
from trainers.flat import PARAMETERS
from trainers.mean import weighted_sum


class Scaffold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """w ← w + η·mean(yᵢ - w), and c ← c + (1/N)·Σᵢ (cᵢ⁺ - cᵢ) over the m of N clients that sent something.

    The clients' half is in `kinds.local_update`; all means are unweighted. server_lr: η > 0.
    Exact: with η = 1 the weights are the mean of the clients', bit for bit what FedAvg makes of equal samples.
    Holds: c is the mean of all N clients' controls, to rounding, whoever takes part.
    State: {"parameters": c}.
    Source: Karimireddy et al. 2020, arXiv:1910.06378, option II.
    """

    uses_proxy: ClassVar[bool] = False
    has_control: ClassVar[bool] = True

    server_lr: float = 1.0

    def combine(self, cohort: Cohort, proxy: Served) -> Combined:
        updates = cohort.updates
        models, alike = [update.weights for update in updates], [1.0] * len(updates)
        flats = [model[PARAMETERS] for model in models]
        if self.server_lr != 1.0:
            flats.append(cohort.weights[PARAMETERS])
        factors = [self.server_lr / len(models)] * len(models) + [1.0 - self.server_lr] * (len(flats) - len(models))
        weights = with_buffers(weighted_sum(flats, factors), models, alike)
        control = [value[PARAMETERS] for value in (cohort.state,) if value]
        after = [update.state[PARAMETERS] for update in updates]
        before = [update.state_before[PARAMETERS] for update in updates if update.state_before]
        share = 1.0 / cohort.population
        shares = [1.0] * len(control) + [share] * len(after) + [-share] * len(before)
        return Combined(weights, {PARAMETERS: weighted_sum([*control, *after, *before], shares)}, {})
