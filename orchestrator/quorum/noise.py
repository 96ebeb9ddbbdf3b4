"""How noisy the gradients are, from norms alone: variance V, squared norm N of the true gradient, curvature L."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from orchestrator.quorum.signals import Step


def variance_sample(step: Step, previous_k: int | None) -> float | None:
    """One unbiased sample of V = E‖g_j - ∇F‖², summed over coordinates, (loss/weight)²; None where there is none.

    From the spread of k >= 2 gradients around their mean: (Σ‖g_j‖² - k‖ḡ‖²)/(k - 1), clipped at 0 because the
    difference cancels. From two successive single ones, k = 1: ‖ḡ_t - ḡ_{t-1}‖²/(1/k_t + 1/k_{t-1}), slightly high,
    by what the true gradient changed in between.

    Args:
        previous_k: how many gradients the step before averaged, None if there was none.
    Source: Xu, Neglia, Sebastianelli 2020, arXiv:2004.14696, the variance estimate; the k = 1 form is ours.
    """
    if step.k >= 2:
        sample = max(step.sum_norm2 - step.k * step.norm2, 0.0) / (step.k - 1)
    elif step.change_norm2 is not None and previous_k is not None:
        sample = max(step.change_norm2, 0.0) / (1 / step.k + 1 / previous_k)
    else:
        return None
    return sample if isfinite(sample) else None


def gradient_norm2(step: Step, variance: float) -> float:
    """An unbiased sample of N = ‖∇F‖², (loss/weight)²: ‖ḡ‖² less its noise V/k. May be negative: clip last."""
    return step.norm2 - variance / step.k


@dataclass(frozen=True, slots=True)
class Before:
    """A step with what was estimated at it: gradient_norm2 is N >= 0, variance is V >= 0, both (loss/weight)²."""

    step: Step
    gradient_norm2: float
    variance: float


def curvature_from_losses(before: Before, step: Step) -> float | None:
    """One sample of L, clipped at 0, from how far one step lowered the loss; None where the gradient was nil.

    L = 2(η N - (F_{t-1} - F_t)) / (η²(N + V/k)), all but F_t taken at t - 1. Mini-batch noise of the losses drowns it
    when batches are small: true values of 0.02-0.05 are read as anything from 0 to 0.45 (softmax on digits).

    Source: Xu, Neglia, Sebastianelli 2020, arXiv:2004.14696, the smoothness estimate.
    """
    eta = before.step.learning_rate
    travelled = eta * eta * (before.gradient_norm2 + before.variance / before.step.k)
    if travelled <= 0:
        return None
    sample = 2 * (eta * before.gradient_norm2 - (before.step.loss - step.loss)) / travelled
    return max(sample, 0.0) if isfinite(sample) else None


def curvature_from_step(before: Before, step: Step) -> tuple[float, float] | None:
    """Numerator and denominator of one sample of L; sum both over many steps, then divide.

    (ḡ_t - ∇F_{t-1})·Δ / ‖Δ‖², the change of the gradient along the step, with -∇F_{t-1}·Δ = η N: the batch of t is
    independent of Δ, so that nothing is biased. Holds for plain SGD; with momentum Δ is not -η ḡ, and L comes out low.
    """
    if step.dot is None or step.step_norm2 is None or step.step_norm2 <= 0:
        return None
    unclipped = gradient_norm2(before.step, before.variance)
    numerator = step.dot + before.step.learning_rate * unclipped
    return (numerator, step.step_norm2) if isfinite(numerator) else None
