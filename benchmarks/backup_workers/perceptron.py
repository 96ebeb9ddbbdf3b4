"""A perceptron with one hidden layer, in NumPy: small enough to be trained a thousand times over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Perceptron:
    """Classifies images [samples, pixels], whose last pixel is 1, as digits [samples]; `hidden` units with ReLU.

    A batch is drawn i.i.d. Weights are one vector: [pixels, hidden], then [hidden + 1, classes], biases last.
    """

    images: Array
    digits: NDArray[np.int64]
    batch: int
    hidden: int
    classes: int = 10

    def start(self, random: np.random.Generator) -> Array:
        """He's initialisation: variance 2 over the number of inputs; biases 0."""
        first = random.normal(size=(self.images.shape[1], self.hidden)) * (2 / (self.images.shape[1] - 1)) ** 0.5
        second = random.normal(size=(self.hidden + 1, self.classes)) * (2 / self.hidden) ** 0.5
        first[-1] = second[-1] = 0.0
        return np.concatenate([first.ravel(), second.ravel()])

    def gradients(self, weights: Array, k: int, random: np.random.Generator) -> tuple[Array, Array]:
        """Losses [k] and gradients [k, weights] of k mini-batches."""
        batches = random.integers(len(self.images), size=(k, self.batch))
        pairs = [self._gradient(weights, self.images[batch], self.digits[batch]) for batch in batches]
        return np.array([loss for loss, _ in pairs]), np.stack([gradient for _, gradient in pairs])

    def full_loss(self, weights: Array) -> float:
        log_probability = self._forward(weights, self.images)[1]
        return float(-log_probability[np.arange(len(self.digits)), self.digits].mean())

    def _gradient(self, weights: Array, images: Array, digits: NDArray[np.int64]) -> tuple[float, Array]:
        active, log_probability = self._forward(weights, images)
        rows = np.arange(len(digits))
        loss = float(-log_probability[rows, digits].mean())
        error = np.exp(log_probability)  # [batch, classes], then the derivative of the loss by the logits
        error[rows, digits] -= 1
        error /= len(digits)
        back = (error @ self._second(weights)[:-1].T) * (active > 0)  # [batch, hidden]
        return loss, np.concatenate([(images.T @ back).ravel(), (active.T @ error).ravel(), error.sum(axis=0)])

    def _forward(self, weights: Array, images: Array) -> tuple[Array, Array]:
        """What the hidden units give [samples, hidden], and log probabilities [samples, classes]."""
        pixels, second = images.shape[1], self._second(weights)
        active = np.maximum(images @ weights[: pixels * self.hidden].reshape(pixels, self.hidden), 0.0)
        logits = active @ second[:-1] + second[-1]
        logits -= logits.max(axis=1, keepdims=True)
        return active, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    def _second(self, weights: Array) -> Array:
        return weights[self.images.shape[1] * self.hidden :].reshape(self.hidden + 1, self.classes)
