"""FedLAW: shares λ of the clients and one shrinking factor γ, learnt on the server's proxy data each round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
from torch import Tensor

from trainers.aggregation.fedavg import averaged
from trainers.aggregation.rule import Cohort, Combined, Served
from trainers.aggregation.values import with_buffers
from trainers.coefficients import Learn, Learning, Shares, learn
from trainers.flat import PARAMETERS
from trainers.mean import weighted_sum
from trainers.tensors import Tensors


class FedLaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """w ← γ·Σᵢ λᵢ·wᵢ, from λᵢ = nᵢ / Σⱼ nⱼ and γ = 1 by Adam on the proxy; nothing is carried over between rounds.

    learn: both, or lambda or gamma alone. lr: > 0. epochs: >= 0 passes over the proxy. batch_size: >= 1.
    limit: >= 0, of |ln γ|.
    Guards: weights that are no better on the proxy than FedAvg's give way to FedAvg's; where accuracy on the proxy
        falls below that of the weights before, λ alone is learnt (with few and one-sided clients γ shrinks the model
        until the run stalls).
    Exact: zero epochs are FedAvg, bit for bit. Floating-point buffers are averaged by λ, never scaled by γ.
    Metrics: gamma, lambda.CLIENT, proxy_loss_before and proxy_loss_after (FedAvg's, and that of what is kept),
        guarded (1: a guard had its way).
    Cost: 20 epochs over 200 samples with a perceptron of 0.2 M parameters and 20 clients, 0.3 s on one core.
    Source: Li, Lin, Shang, Wu 2023, arXiv:2302.10911, appendix and code; γ and λ at one time. Ours adds the limit, the
        guards, the closed form of the gradient and the treatment of buffers.
    """

    uses_proxy: ClassVar[bool] = True
    has_control: ClassVar[bool] = False

    learn: Learn = Learn.BOTH
    lr: float = 0.02
    epochs: int = 20
    batch_size: int = 128
    limit: float = 0.7

    def combine(self, cohort: Cohort, proxy: Served) -> Combined:
        mean = averaged(cohort)
        samples = [update.samples for update in cohort.updates]
        start = Mixture(1.0, [count / sum(samples) for count in samples])
        if not self.epochs:
            return Combined(mean, {}, start.metrics(cohort))
        models = [update.weights for update in cohort.updates]
        loss_before = proxy.judge(mean).loss
        kept = learnt = self._learnt(cohort, proxy, mean, self.learn)
        weights = kept.of(models)
        judged = proxy.judge(weights)
        if kept.scale != 1.0 and judged.accuracy < proxy.judge(cohort.weights).accuracy:
            kept = start if self.learn is Learn.GAMMA else self._learnt(cohort, proxy, mean, Learn.LAMBDA)
            weights = kept.of(models)
            judged = proxy.judge(weights)
        if not judged.loss < loss_before:
            kept, weights = start, mean
            judged = proxy.judge(weights)
        metrics = {
            **kept.metrics(cohort),
            "proxy_loss_before": loss_before,
            "proxy_loss_after": judged.loss,
            "guarded": float(kept is not learnt),
        }
        return Combined(weights, {}, metrics)

    def _learnt(self, cohort: Cohort, proxy: Served, mean: Tensors, which: Learn) -> Mixture:
        models = [update.weights[PARAMETERS] for update in cohort.updates]
        samples = [update.samples for update in cohort.updates]
        shares = Shares(models, samples, which=which, limit=self.limit)
        objective = OnProxy(proxy, {name: tensor for name, tensor in mean.items() if name != PARAMETERS})
        batches = proxy.batches(self.batch_size, self.epochs)
        scalars = learn(shares, objective, batches, Learning(lr=self.lr)).scalars
        return Mixture(shares.scale(scalars), shares.shares(scalars).tolist())


@dataclass(frozen=True, slots=True)
class Mixture:
    """γ and λ."""

    scale: float
    shares: Sequence[float]

    def of(self, models: Sequence[Tensors]) -> Tensors:
        parameters = weighted_sum(
            [model[PARAMETERS] for model in models], [self.scale * share for share in self.shares]
        )
        return with_buffers(parameters, models, self.shares)

    def metrics(self, cohort: Cohort) -> dict[str, float]:
        named = zip(cohort.updates, self.shares, strict=True)
        return {"gamma": self.scale, **{f"lambda.{update.client}": share for update, share in named}}


@dataclass(frozen=True, slots=True)
class OnProxy:
    """Flat parameters with fixed buffers, judged by their loss on the proxy: the objective of learning."""

    proxy: Served
    buffers: Tensors

    def loss_and_gradient(self, weights: Tensor, batch: Any) -> tuple[float, Tensor]:
        return self.proxy.loss_and_gradient({PARAMETERS: weights, **self.buffers}, batch)

    def judge(self, weights: Tensor) -> float:
        return self.proxy.judge({PARAMETERS: weights, **self.buffers}).loss
