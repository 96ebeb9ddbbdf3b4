"""Work that has no id yet: what is to be asked, while the strategy that asks it numbers its works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.records import Counts, Json, Late, Place, Ref, Work


class Question(NamedTuple):
    """The fields of the `Work` that it becomes."""

    kind: str
    inputs: Mapping[str, Ref]
    params: Mapping[str, Json]
    place: Place
    counts: Counts
    late: Late = Late.DROP

    def numbered(self, id_: int, round_: int, model: Mapping[str, Json], *, lasting: bool = False) -> Work:
        """As a piece of work. model: arguments of the task's model(), which all kinds are told."""
        params = {"model": model, **self.params}
        return Work(id_, round_, self.kind, self.inputs, params, self.place, self.counts, self.late, lasting=lasting)
