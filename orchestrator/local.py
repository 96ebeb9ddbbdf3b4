"""A task that computes in this process: for replays, for what a resume must make again, and for the model's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file, save_model

from orchestrator.compute import executor
from orchestrator.pools.execute import Execute
from orchestrator.protocols import Values
from orchestrator.spec import TrainSpec
from trainers import Context, Split, Tensors, load_task, make_deterministic, unflatten

EXAMPLES = 2  # samples in the example that MLflow traces the model with: with one the batch dimension would be fixed


class Local:
    """The run's task in this process, as its workers have it: same seed, same threads, same order of imports.

    Raises TaskInvalid; what the user's module raises while it is imported passes through.
    """

    def __init__(self, spec: TrainSpec, paths: Sequence[str] = ()) -> None:
        make_deterministic(spec.threads)
        self._spec = spec
        self._context = Context(load_task(spec.task, [Path(path) for path in paths]), spec.seed)

    def execute(self, values: Values) -> Execute:
        """Does work here, with inputs from and outputs to `values`."""
        return executor(values, self._context)

    def save_model(self, weights: Tensors, model: Path, example: Path) -> None:
        """Writes the model, and two inputs from the test data as "input" if they are one tensor; both safetensors."""
        save_model(unflatten(self._context.task.model(**self._spec.train.model), weights), str(model))
        batch = self._context.batch(Split.TEST, torch.arange(EXAMPLES))
        given = batch[0] if isinstance(batch, tuple | list) else batch
        if isinstance(given, torch.Tensor):
            save_file({"input": given.contiguous()}, example)

    def samples(self, split: Split) -> int:
        return self._context.samples(split)

    def parameters(self) -> int:
        """Of the model, as a number."""
        return self._context.model(self._spec.train.model).layout.size
