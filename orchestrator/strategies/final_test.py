"""The one test of the model that a search came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.records import Counts, Json, Model, Place, Row, Told, Work
from orchestrator.strategies.evaluation import Evaluation


@dataclass(slots=True)
class FinalTest:
    """On all test data, in parts, by whoever is free; JSON by msgspec. Without test data it is done from the start."""

    model: Model
    evaluation: Evaluation | None

    @classmethod
    def of(cls, model: Model, samples: int, step: int) -> FinalTest:
        """samples: of the test data. step: of the row that will tell of it."""
        return cls(model, Evaluation("test", step, model.weights, samples, together=True) if samples else None)

    @property
    def done(self) -> bool:
        return self.evaluation is None or self.evaluation.complete

    def ask(self, first_id: int, round_: int) -> list[Work]:
        """All parts that are not out, with ids from `first_id` on."""
        if self.evaluation is None:
            return []
        works = []
        for number, (start, count) in enumerate(self.evaluation.parts_to_ask(), start=first_id):
            part: Mapping[str, Json] = {"split": "test", "start": start, "count": count}
            params, inputs = {**part, "model": self.model.arguments}, {"weights": self.model.weights}
            works.append(Work(number, round_, "evaluate", inputs, params, Place(), Counts.ASIDE))
        return works

    def tell(self, told: Told) -> Sequence[Row]:
        """The figures, with the last part. Raises RunFailed: a part failed again and again."""
        assert self.evaluation is not None
        return self.evaluation.told(told)
