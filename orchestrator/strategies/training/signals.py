"""What a step tells the quorum."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.strategies.training.settings import SyncTrainingSettings
from orchestrator.strategies.training.state import State

SQUARES = ("norm2", "change_norm2")
"""Of gradients: they are in (loss/weight)²."""


def signals_of(state: State, settings: SyncTrainingSettings, metrics: Mapping[str, float]) -> dict[str, float]:
    """Of the step that these gradients made; metrics: of their aggregate.

    learning_rate: what one gradient moves the weights in the long run, momentum included, see
    `trainers.stepper.Stepper.effective_learning_rate`. learning_rate_exponent: p of η(k) = η·(k/n)^p.
    The way of local steps is their mean gradient times how far they reach, so it is divided by that; where nobody knows
    how far (they are no SGD), only loss and k are told.
    """
    gradients = state.gradients
    samples = sum(gradient.samples for gradient in gradients)
    told = {
        "loss": sum(gradient.loss * gradient.samples for gradient in gradients) / samples,
        "k": float(len(gradients)),
        "learning_rate_exponent": state.exponent,
    }
    if not settings.gradient_statistics:
        return told
    reach = 1.0 if settings.local is None else sum(gradient.reach for gradient in gradients) / len(gradients)
    if reach <= 0:
        return told
    told |= {
        "sum_norm2": sum(gradient.norm2 for gradient in gradients) / reach**2,
        "learning_rate": metrics["effective_learning_rate"] * reach,
    }
    told |= {name: metrics[name] / reach**2 for name in SQUARES if name in metrics}
    if "step_norm2" in metrics:
        told |= {"step_norm2": metrics["step_norm2"], "step_dot_gradient": metrics["step_dot_gradient"] / reach}
    return told
