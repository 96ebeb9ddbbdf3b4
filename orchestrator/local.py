"""A task that computes in this process: for replays, for what a resume must make again, and for the model's files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file, save_model

from orchestrator.compute import executor
from orchestrator.pools.execute import Execute
from orchestrator.protocols import Values
from orchestrator.spec import Spec
from trainers import Context, Split, Tensors, build_model, load_task, make_deterministic, unflatten

TASK, ARGUMENTS = "ripieno.task", "ripieno.model"
"""Metadata of our model files: package.module:Class, and JSON."""

EXAMPLES = 2  # samples in the example that MLflow traces the model with: with one the batch dimension would be fixed


class Local:
    """The run's task in this process, as its workers have it: same seed, same threads, same order of imports.

    Raises TaskInvalid; what the user's module raises while it is imported passes through.
    """

    def __init__(self, spec: Spec, paths: Sequence[str] = ()) -> None:
        make_deterministic(spec.threads)
        self._spec = spec
        self._context = Context(load_task(spec.task, [Path(path) for path in paths]), spec.seed)

    def execute(self, values: Values) -> Execute:
        """Does work here, with inputs from and outputs to `values`."""
        return executor(values, self._context)

    def save_model(self, weights: Tensors, arguments: Mapping[str, Any], file: Path) -> None:
        """Writes a model as safetensors, with its task and the arguments of `model()` in the file's metadata."""
        about = {TASK: self._spec.task, ARGUMENTS: json.dumps(arguments, sort_keys=True)}
        save_model(unflatten(build_model(self._context.task, arguments), weights), str(file), about)

    def save_example(self, example: Path) -> None:
        """Writes two inputs from the test data as "input", if they are one tensor."""
        batch = self._context.batch(Split.TEST, torch.arange(EXAMPLES))
        given = batch[0] if isinstance(batch, tuple | list) else batch
        if isinstance(given, torch.Tensor):
            save_file({"input": given.contiguous()}, example)

    def samples(self, split: Split) -> int:
        return self._context.samples(split)

    def parameters(self) -> int:
        """Of the model, as a number."""
        return self._context.model(self._spec.section.some_model()).layout.size


def arguments_of(model: Path) -> dict[str, Any]:
    """The arguments of the task's `model()` that this file's weights fit; none if it does not say."""
    with safe_open(model, "pt") as file:
        found: dict[str, Any] = json.loads((file.metadata() or {}).get(ARGUMENTS, "{}"))
    return found
