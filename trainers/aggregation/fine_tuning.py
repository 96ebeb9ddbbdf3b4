"""FedAvg, and then ordinary training on the server's proxy data: the control for everything that learns from it."""

from __future__ import annotations

from math import isfinite
from typing import ClassVar

import msgspec

from trainers.aggregation.fedavg import averaged
from trainers.aggregation.rule import Cohort, Combined, Served
from trainers.local_training import Plan


class FineTuning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SGD from the mean on, without memory of earlier rounds.

    lr: > 0. momentum: in [0, 1). epochs: >= 0 passes over the proxy; 0 is FedAvg, bit for bit. batch_size: >= 1.
    Guard: weights that are not finite give way to FedAvg's.
    Metrics: proxy_loss_before and proxy_loss_after (FedAvg's, and that of what is kept).
    """

    uses_proxy: ClassVar[bool] = True
    has_control: ClassVar[bool] = False

    lr: float = 0.01
    momentum: float = 0.9
    epochs: int = 20
    batch_size: int = 128

    def combine(self, cohort: Cohort, proxy: Served) -> Combined:
        mean = averaged(cohort)
        if not self.epochs:
            return Combined(mean, {}, {})
        before = proxy.judge(mean).loss
        plan = Plan(self.epochs, {"name": "sgd", "lr": self.lr, "momentum": self.momentum})
        tuned = proxy.trained(mean, self.batch_size, plan)
        after = proxy.judge(tuned).loss
        if not isfinite(after):
            tuned, after = mean, before
        return Combined(tuned, {}, {"proxy_loss_before": before, "proxy_loss_after": after})
