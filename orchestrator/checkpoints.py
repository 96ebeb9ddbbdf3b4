"""Versions of the model in files, while a run goes on: what a strategy names is written, what it does not goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from orchestrator.local import Local
from orchestrator.protocols import Values
from orchestrator.records import Actions, Model, Wake
from orchestrator.storage import Storage

ENDING = ".safetensors"

_log = structlog.get_logger(__name__)


class CheckpointFiles:
    """An observer that keeps `storage` as `wanted` has it: NAME.safetensors for each name, with the task and the
    model's arguments in its metadata, as the run's model has them.

    A file that cannot be written is tried again when the model under its name changes, and said; training goes on.

    Args:
        wanted: by name, asked after each wake that has rows.
        local: makes the files; called when the first is due, for it loads the task.
    Cost: nothing where nothing changed; else a copy of the weights and a write, some 10 ms a million parameters.
    """

    def __init__(
        self,
        storage: Storage,
        wanted: Callable[[], Mapping[str, Model]],
        values: Values,
        local: Callable[[], Local],
    ) -> None:
        self._storage, self._wanted, self._values, self._local = storage, wanted, values, local
        self._written: dict[str, Model | None] | None = None  # by name; None: of an engine before this one
        self._maker: Local | None = None

    def seen(self, wake: Wake, actions: Actions) -> None:
        if not actions.rows and self._written is not None:
            return  # versions come and go with the figures of a step or of an evaluation
        wanted = self._wanted()
        if (not wanted and not self._written) or wanted == self._written:
            return
        if self._written is None:
            self._written = dict.fromkeys(self._found())
        for name in self._written.keys() - wanted.keys():
            self._try(self._storage.remove, name + ENDING)
        for name, model in wanted.items():
            if self._written.get(name) != model:
                self._try(self._write, name + ENDING, model)
        self._written = dict(wanted)

    def _found(self) -> set[str]:
        try:
            return {name.removesuffix(ENDING) for name in self._storage.names()}
        except OSError as error:
            _log.warning("checkpoints_not_listed", reason=str(error))
            return set()

    def _write(self, file: str, model: Model) -> None:
        if self._maker is None:
            self._maker = self._local()
        with TemporaryDirectory() as folder:
            made = Path(folder) / file
            self._maker.save_model(self._values.get(model.weights), model.arguments, made)
            self._storage.write(file, [made.read_bytes()])

    def _try(self, change: Callable[..., None], file: str, *more: Model) -> None:
        try:
            change(file, *more)
        except OSError as error:
            _log.warning("checkpoint_not_written", file=file, reason=str(error))
