"""A weighted mean of models' predictions: its best weights, and the module that computes it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from trainers.merging.errors import PredictionsInvalid
from trainers.merging.simplex import minimise_on_simplex


class Ensemble(nn.Module):
    """log Σᵢ wᵢ·softmax(memberᵢ(x)): log-probabilities, so that cross entropy and argmax work on them.

    members: classifiers with outputs [B, classes, …]. The buffer `weights`, [members], starts equal; >= 0, sum 1.
    """

    weights: Tensor

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("weights", torch.full((len(members),), 1 / len(members)))

    def forward(self, inputs: Tensor) -> Tensor:
        parts = [member(inputs).log_softmax(dim=1) for member in self.members]
        stacked = torch.stack(parts, dim=-1) + self.weights.log()
        return stacked.logsumexp(dim=-1)


def ensemble_weights(predictions: Sequence[Tensor], targets: Tensor) -> Tensor:
    """The weights >= 0 with sum 1 whose mean prediction is nearest to the labels in squares (Brier): float64 [members].

    Exact, see `minimise_on_simplex`: no member alone, and no other weights, are better on these samples.
    Args:
        predictions: of each member, probabilities [samples, classes].
        targets: int64 [samples], in [0, classes).
    Raises:
        PredictionsInvalid: other shapes, or numbers that are not finite.
    """
    shape = predictions[0].shape
    if len(shape) != 2 or any(prediction.shape != shape for prediction in predictions):
        shapes = ", ".join(str(list(prediction.shape)) for prediction in predictions)
        raise PredictionsInvalid(f"all must be [samples, classes], and they are {shapes}")
    if targets.shape != shape[:1] or (len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < shape[1]):
        raise PredictionsInvalid(
            f"the labels are no class numbers below {shape[1]}, one for each of {shape[0]} samples"
        )
    members = torch.stack([prediction.double().reshape(-1) for prediction in predictions])
    if not bool(members.isfinite().all()):
        raise PredictionsInvalid("they hold NaN or Inf")
    truth = one_hot(targets, shape[1]).double().reshape(-1)
    return minimise_on_simplex(members @ members.T, members @ truth)
