"""What a trial trains with: the settings that all trials share, and a configuration laid over them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from orchestrator.records import Json
from orchestrator.searching.space import Config

PLAIN = ("batch_size", "clip_norm")
GROUPS = ("model", "optimizer")
ALLOWED = "model.NAME, optimizer.NAME, batch_size, clip_norm"
"""The names that a configuration may have."""


@dataclass(frozen=True, slots=True)
class Training:
    """optimizer: {"name": …, "lr": …, further options}. batch_size: >= 1. clip_norm: > 0, or None.

    model: arguments of the task's model().
    """

    optimizer: Mapping[str, Any]
    batch_size: int
    clip_norm: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)

    def of(self, config: Config) -> dict[str, Json]:
        """Params "model", "optimizer", "batch_size" and "clip_norm" of a trial with this configuration.

        Where the configuration names another optimizer, of the shared options only lr is kept: the others are the
        shared optimizer's own.
        """
        optimizer = dict(self.optimizer)
        if (name := config.get("optimizer.name", optimizer["name"])) != optimizer["name"]:
            optimizer = {"name": name, **({"lr": optimizer["lr"]} if "lr" in optimizer else {})}
        params: dict[str, Any] = {
            "model": deepcopy(dict(self.model)),
            "optimizer": deepcopy(optimizer),
            "batch_size": self.batch_size,
            "clip_norm": self.clip_norm,
        }
        for path, value in config.items():
            *above, last = path.split(".")
            place = params
            for key in above:
                place = place.setdefault(key, {})
            place[last] = value
        return params


def is_name(path: str) -> bool:
    """Whether a configuration may have this name."""
    group, dot, name = path.partition(".")
    return bool(group in GROUPS and name) if dot else path in PLAIN
