"""FedLAW, its halves, FedAvg and fine-tuning on twenty clients of Fashion-MNIST: table A5 of the sheet on FedLAW."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import hypot
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from torch import nn

from benchmarks.harness import Target
from trainers import Context, Split, Task, Tensors, make_deterministic, run_kind
from trainers.data import Images, digits, fashion_mnist

FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLIENTS, SAMPLES, ROUNDS, QUICK_ROUNDS, LAST = 20, 10_000, 40, 15, 5
SEEDS, QUICK_SEEDS = 3, 1
OPTIMIZER: Mapping[str, Any] = {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4}
LR, DECAY = 0.05, 0.99

FEDLAW: Mapping[str, Any] = {"name": "fedlaw", "lr": 0.005, "epochs": 20, "batch_size": 128}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "FedAvg": {"name": "fedavg"},
    "FedAvg + fine-tuning": {"name": "fine_tuning"},
    "FedLAW (γ, λ)": FEDLAW,
    "FedLAW, λ only": {**FEDLAW, "learn": "lambda"},
    "FedLAW, γ only": {**FEDLAW, "learn": "gamma"},
}
SHEET: Mapping[tuple[str, float], tuple[float, float]] = {
    ("FedAvg", 0.1): (77.1, 4.1),
    ("FedAvg", 1.0): (80.7, 0.5),
    ("FedAvg + fine-tuning", 0.1): (81.4, 0.8),
    ("FedAvg + fine-tuning", 1.0): (81.9, 0.2),
    ("FedLAW (γ, λ)", 0.1): (81.3, 2.6),
    ("FedLAW (γ, λ)", 1.0): (83.6, 0.3),
    ("FedLAW, λ only", 0.1): (79.0, 2.2),
    ("FedLAW, λ only", 1.0): (80.7, 0.4),
    ("FedLAW, γ only", 0.1): (78.6, 5.8),
    ("FedLAW, γ only", 1.0): (83.4, 0.4),
}
"""Mean and deviation over three seeds of the accuracy in percent, mean of the last five of forty rounds."""


class Perceptron(Task):
    """784-200-200-10 on 10,000 images in [0, 1]; digits where Fashion-MNIST is not installed."""

    def model(self) -> nn.Module:
        inputs = 784 if FOLDER.is_dir() else 64
        return nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
        )

    def data(self, split: Split) -> Images:
        images = fashion_mnist(split, FOLDER) if FOLDER.is_dir() else digits(split)
        most = SAMPLES if split is Split.TRAIN else len(images)
        return Images(images.pixels[:most], images.labels[:most], 0.0, 255.0 if FOLDER.is_dir() else 16.0)


@dataclass(frozen=True)
class Setting:
    """One federation."""

    method: str
    alpha: float
    seed: int
    rounds: int

    def accuracy(self) -> float:
        """On all test images, in percent, mean of the last rounds; through the kinds of work that a run does."""
        make_deterministic(1)
        weights = self._run(0, "init", {}, {})[0]["weights"]
        reached = []
        for number in range(self.rounds):
            weights = self._round(number, weights)
            if number >= self.rounds - LAST:
                part = {"split": "test", "start": 0, "count": self._context.samples(Split.TEST)}
                reached.append(self._run(0, "evaluate", {"weights": weights}, part)[1]["accuracy"])
        return 100 * fmean(reached)

    def _round(self, number: int, weights: Tensors) -> Tensors:
        partition = {"kind": "dirichlet", "clients": CLIENTS, "seed": self.seed, "alpha": self.alpha, "minimum": 10}
        optimizer = {**OPTIMIZER, "lr": LR * DECAY**number}
        first = 1 + number * (CLIENTS + 1)
        inputs, updates = {"weights": weights}, []
        for client in range(CLIENTS):
            params = {
                "client": str(client),
                "simulated": {"number": client, "partition": partition},
                "epochs": 1,
                "batch_size": 64,
                "optimizer": optimizer,
            }
            outputs, metrics = self._run(first + client, "local_update", {"weights": weights}, params)
            inputs[f"update.{first + client}"] = outputs["update"]
            updates.append({"id": first + client, "client": str(client), "samples": metrics["samples"]})
        params = {
            "updates": updates,
            "rule": METHODS[self.method],
            "population": CLIENTS,
            "proxy": {"split": "validation", "samples": 200},
        }
        return self._run(first + CLIENTS, "combine", inputs, params)[0]["weights"]

    def _run(
        self, work: int, kind: str, inputs: Mapping[str, Tensors], params: Mapping[str, Any]
    ) -> tuple[Mapping[str, Tensors], Mapping[str, float]]:
        return run_kind(kind, inputs, {"model": {}, **params}, self._context.for_work(work))

    @cached_property
    def _context(self) -> Context:
        return Context(Perceptron(), self.seed)


def rows(quick: bool) -> tuple[list[dict[str, Any]], list[Target]]:
    """A row a method and α, with what the sheet found. Data, seeds and initial weights are ours, so figures differ.

    quick: one seed and fewer rounds, so that accuracies are lower throughout and only the methods' order is comparable.
    """
    seeds, rounds = (QUICK_SEEDS, QUICK_ROUNDS) if quick else (SEEDS, ROUNDS)
    cells = list(product(METHODS, (0.1, 1.0)))
    settings = [Setting(method, alpha, seed, rounds) for method, alpha in cells for seed in range(seeds)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=spawn) as processes:
        reached = list(processes.map(Setting.accuracy, settings))
    found = {cell: reached[at * seeds : (at + 1) * seeds] for at, cell in enumerate(cells)}
    targets = _gains({cell: fmean(values) for cell, values in found.items()})
    return [_row(cell, rounds, values) for cell, values in found.items()], targets if quick else [
        *targets,
        *(_within_its_spread(cell, values) for cell, values in found.items()),
    ]


def _row(cell: tuple[str, float], rounds: int, reached: Sequence[float]) -> dict[str, Any]:
    method, alpha = cell
    mean, deviation = SHEET[cell]
    spread = {"sd": round(stdev(reached), 1)} if len(reached) > 1 else {}
    accuracy = {"accuracy %": round(fmean(reached), 1), **spread}
    return {"method": method, "α": alpha, "rounds": rounds, **accuracy, "sheet %": mean, "sheet's sd": deviation}


def _within_its_spread(cell: tuple[str, float], reached: Sequence[float]) -> Target:
    mean, deviation = SHEET[cell]
    distance = abs(fmean(reached) - mean) / hypot(deviation, stdev(reached))
    return Target(f"{cell[0]}, α = {cell[1]:g}: from the sheet's mean, in deviations of both", distance, 3.0, "lower")


def _gains(mean: Mapping[tuple[str, float], float]) -> list[Target]:
    """What the sheet's table says of the methods against each other, less a standard error or two."""
    law, plain, tuned = "FedLAW (γ, λ)", "FedAvg", "FedAvg + fine-tuning"
    return [
        Target("FedLAW over FedAvg, α = 1, points", mean[law, 1.0] - mean[plain, 1.0], 2.0, "higher"),
        Target("FedLAW over FedAvg, α = 0.1, points", mean[law, 0.1] - mean[plain, 0.1], 1.0, "higher"),
        Target("FedLAW over fine-tuning, α = 1, points", mean[law, 1.0] - mean[tuned, 1.0], 1.0, "higher"),
        Target("γ alone over FedAvg, α = 1, points", mean["FedLAW, γ only", 1.0] - mean[plain, 1.0], 2.0, "higher"),
    ]
