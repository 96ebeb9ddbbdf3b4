"""Small tasks on digits, and training on them by the kinds of work alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from trainers import Context, Split, Task, Tensors, run_kind
from trainers.data import Images, digits

SGD: dict[str, Any] = {"name": "sgd", "lr": 0.05, "momentum": 0.9}
ADAMW: dict[str, Any] = {"name": "adamw", "lr": 0.002}


class Digits(Task):
    """`architecture` chooses one of the models below."""

    def model(self, architecture: str = "mlp") -> nn.Module:
        return ARCHITECTURES[architecture]()

    def data(self, split: Split) -> Images:
        return digits(split)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 31), nn.ReLU(), nn.Linear(31, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 7, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(7, 13, 3), nn.Flatten(), nn.Linear(52, 10)
    )


def normalised() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


def dropping() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))


ARCHITECTURES = {"mlp": mlp, "cnn": cnn, "batch norm": normalised, "dropout": dropping}


@dataclass
class Training:
    """Steps of `workers` gradients each, as the strategy asks for them; holds the newest weights."""

    architecture: str
    optimizer: Mapping[str, Any] = field(default_factory=lambda: SGD)
    workers: int = 1
    batch_size: int = 64
    clip_norm: float | None = None
    seed: int = 3
    work_id: int = 0

    def __post_init__(self) -> None:
        self.context = Context(Digits(), self.seed)
        outputs, self.metrics = self.run("init", {}, {"optimizer": self.optimizer})
        self.weights, self.state = outputs["weights"], outputs["optimizer"]

    def run(
        self, kind: str, inputs: Mapping[str, Tensors], params: Mapping[str, Any]
    ) -> tuple[Mapping[str, Tensors], Mapping[str, float]]:
        """The next piece of work."""
        params = {"model": {"architecture": self.architecture}, **params}
        self.work_id += 1
        return run_kind(kind, inputs, params, self.context.for_work(self.work_id))

    def gradient(self, epoch: int, block: int) -> tuple[Tensors, Mapping[str, float]]:
        params = {"epoch": epoch, "block": block, "batch_size": self.batch_size}
        outputs, metrics = self.run("gradient", {"weights": self.weights}, params)
        return outputs["gradient"], metrics

    def aggregate(
        self, gradients: Mapping[int, Tensors], samples: list[float], further: Mapping[str, Tensors], keep_mean: bool
    ) -> tuple[Mapping[str, Tensors], Mapping[str, float]]:
        inputs = {"weights": self.weights, "optimizer": self.state, **further}
        inputs |= {f"gradient.{work_id}": gradient for work_id, gradient in gradients.items()}
        params = {
            "gradients": list(gradients),
            "samples": samples,
            "optimizer": self.optimizer,
            "clip_norm": self.clip_norm,
            "keep_mean": keep_mean,
        }
        return self.run("aggregate", inputs, params)

    def step(self, epoch: int, first_block: int) -> None:
        """One gradient of each worker, of consecutive blocks, then their aggregate."""
        gradients, samples = {}, []
        for block in range(first_block, first_block + self.workers):
            gradients[self.work_id + 1], metrics = self.gradient(epoch, block)
            samples.append(metrics["samples"])
        outputs, _ = self.aggregate(gradients, samples, {}, keep_mean=False)
        self.weights, self.state = outputs["weights"], outputs["optimizer"]
