"""Thirty ways to train a small perceptron on digits, and how good each truly is.

The sheet does not say how its pixels are scaled. From -0.5 to 0.5 its three best are the three best, 0.2 points ahead
of the fourth; less their mean, the third and the fourth are equal to 0.03 points, and no search can tell them apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import TensorDataset

from orchestrator.searching.space import Choice, Config, Parameter, Space
from orchestrator.searching.training import Training
from trainers import Context, Split, Task, run_kind

Cell: TypeAlias = tuple[int, str, float]
"""Width, activation, learning rate."""

WIDTHS, ACTIVATIONS, RATES = (4, 16, 64), ("relu", "tanh"), (1e-3, 1e-2, 0.1, 1.0, 10.0)
SAMPLES = {Split.TRAIN: 900, Split.VALIDATION: 450, Split.TEST: 447}
BATCH, STEPS = 64, 1000
STEPS_AN_EPOCH = -(-SAMPLES[Split.TRAIN] // BATCH)
EPOCHS = STEPS / STEPS_AN_EPOCH
SEEDS = 10  # of the truth
EVALUATED = 3 * BATCH  # samples whose evaluation costs as much as a step: one pass of three
FILE = Path(__file__).parent.parent / "results" / "digit_cells.json"

TRAINING = Training({"name": "sgd", "lr": 0.1}, BATCH)
SPACE = Space(
    (
        Parameter("model.width", Choice.of(*WIDTHS)),
        Parameter("model.activation", Choice.of(*ACTIVATIONS)),
        Parameter("optimizer.lr", Choice.of(*RATES)),
    )
)


class DigitCells(Task):
    """64 pixels from -0.5 to 0.5; 10 classes; splits with equal shares of each class."""

    def model(self, width: int, activation: str) -> nn.Module:
        between = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
        return nn.Sequential(nn.Linear(64, width), between(), nn.Linear(width, 10))

    def data(self, split: Split) -> TensorDataset:
        return self._parts[split]

    @cached_property
    def _parts(self) -> Mapping[Split, TensorDataset]:
        digits = load_digits()
        pixels = torch.from_numpy(digits.data / 16 - 0.5).float()
        labels = torch.from_numpy(digits.target)
        left, parts = list(range(len(labels))), {}
        for split in (Split.TEST, Split.VALIDATION):
            left, part = train_test_split(left, test_size=SAMPLES[split], random_state=0, stratify=labels[left])
            parts[split] = TensorDataset(pixels[part], labels[part])
        return {**parts, Split.TRAIN: TensorDataset(pixels[left], labels[left])}


def cell_of(config: Config) -> Cell:
    return int(str(config["model.width"])), str(config["model.activation"]), float(str(config["optimizer.lr"]))


def config_of(cell: Cell) -> Config:
    width, activation, rate = cell
    return {"model.width": width, "model.activation": activation, "optimizer.lr": rate}


def cells() -> list[Cell]:
    return list(product(WIDTHS, ACTIVATIONS, RATES))


def grid_cost() -> float:
    """Of training every cell once, in steps."""
    return len(cells()) * (STEPS + SAMPLES[Split.VALIDATION] / EVALUATED)


def truth() -> dict[Cell, float]:
    """Mean validation accuracy of ten runs of each cell by the kind "trial"; kept in FILE. Cost at first: 2 minutes."""
    described = {"steps": STEPS, "seeds": SEEDS, "batch": BATCH, "torch": torch.__version__.partition("+")[0]}
    if FILE.exists():
        found = json.loads(FILE.read_text(encoding="utf-8"))
        if found["settings"] == described:
            return {(width, activation, rate): accuracy for width, activation, rate, accuracy in found["cells"]}
    context = Context(DigitCells(), seed=1_000)
    measured = {cell: fmean(_accuracy(cell, number, context) for number in range(SEEDS)) for cell in cells()}
    lines = ",\n    ".join(json.dumps([*cell, accuracy]) for cell, accuracy in measured.items())
    FILE.write_text(
        f'{{\n  "settings": {json.dumps(described)},\n  "cells": [\n    {lines}\n  ]\n}}\n', encoding="utf-8"
    )
    return measured


def _accuracy(cell: Cell, number: int, context: Context) -> float:
    params: dict[str, Any] = {
        **TRAINING.of(config_of(cell)),
        "number": number,
        "first": 1 + number,
        "start": 0.0,
        "end": EPOCHS,
        "validation": 0,
    }
    _, metrics = run_kind("trial", {}, params, context)
    return metrics.get("validation_accuracy", 0.0)
