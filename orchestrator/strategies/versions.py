"""The versions of a federation's weights, from the first, which is made or given, to the last, which is tested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.errors import RunFailed
from orchestrator.records import AGGREGATOR, Counts, Json, Place, Ref, Row, Told
from orchestrator.strategies.evaluation import Evaluation
from orchestrator.strategies.federated import NONE, FederationSettings
from orchestrator.strategies.question import Question
from orchestrator.strategies.start import START

JUDGED = ("validation", "test")
"""Splits that the server has; it need not have samples to train on."""

WASTED = 3  # versions in a row without a usable update, then the run ends


class Phase(StrEnum):
    BEGIN = "begin"  # the first weights are being made, and the partition
    OPEN = "open"  # clients train
    TEST = "test"  # all versions are made; the last is evaluated
    DONE = "done"


@dataclass(slots=True)
class Versions:
    """JSON by msgspec, as a part of a strategy's state.

    number: of the newest version; the first weights are 0. asked: the first work is out, and `missing` pieces of it are
    not in yet. partition: who has which samples, of simulated clients. samples: of each split that is judged on.
    evaluation: under way, one at a time. wasted: versions in a row that no update was good enough for.
    """

    phase: Phase = Phase.BEGIN
    number: int = 0
    weights: Ref = NONE
    partition: Ref = NONE
    asked: bool = False
    missing: int = 0
    samples: dict[str, int] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    wasted: int = 0

    def questions(self, settings: FederationSettings) -> Iterator[Question]:
        """To ask now, whoever is idle: the first work, once, and parts of evaluations."""
        if not self.asked:
            self.asked, self.missing = True, 1 + settings.simulated
            place, given = Place(role=AGGREGATOR), {"given": START} if settings.started else {}
            yield Question("init", given, {"splits": JUDGED}, place, Counts.REQUIRED)
            if settings.simulated:
                yield Question("partition", {}, {"partition": settings.partition}, place, Counts.REQUIRED)
        if self.evaluation is not None:
            # at the end on whoever is free, if these are processes of ours: the test data of sites are their own
            everywhere = self.phase is Phase.TEST and settings.simulated
            place = Place() if everywhere else Place(role=AGGREGATOR)
            for start, count in self.evaluation.parts_to_ask():
                params: Mapping[str, Json] = {"split": self.evaluation.split, "start": start, "count": count}
                yield Question("evaluate", {"weights": self.evaluation.weights}, params, place, Counts.ASIDE)

    def told(self, told: Told) -> Sequence[Row]:
        """An answer to one of these. Raises RunFailed when a part of an evaluation failed too often."""
        if told.work.kind == "evaluate":
            return self._evaluated(told)
        if told.work.kind == "init":
            self.weights = told.result.outputs["weights"]
            self.samples = {split: int(told.result.metrics[f"{split}_samples"]) for split in JUDGED}
        else:
            self.partition = told.result.outputs["partition"]
        self.missing -= 1
        if not self.missing:
            self.phase = Phase.OPEN
        return ()

    def made(self, told: Told, settings: FederationSettings) -> None:
        """There is a new version: the last is evaluated on test data, if there are any, others now and then.

        told: work "combine". Raises RunFailed when no client has sent anything usable for too long.
        """
        self.weights, rounds = told.result.outputs["weights"], settings.rounds
        self.number += 1
        self.wasted = 0 if told.result.metrics["counted"] else self.wasted + 1
        if self.wasted >= WASTED:
            raise RunFailed(f"no client sent finite weights, {WASTED} times in a row: lower their learning rate")
        if self.number >= rounds.rounds:
            self.evaluation = self._evaluation_of("test", together=True)
            self.phase = Phase.DONE if self.evaluation is None else Phase.TEST
        elif self.number % rounds.evaluate_every == 0 and self.evaluation is None:
            self.evaluation = self._evaluation_of("validation", together=False)

    def refs(self, settings: FederationSettings) -> Iterable[Ref]:
        """All that may still be used; NONE among them."""
        given = START if settings.started and not self.weights else NONE
        return (given, self.weights, self.partition, NONE if self.evaluation is None else self.evaluation.weights)

    def _evaluation_of(self, split: str, *, together: bool) -> Evaluation | None:
        samples = self.samples[split]
        return Evaluation(split, self.number, self.weights, samples, together) if samples else None

    def _evaluated(self, told: Told) -> Sequence[Row]:
        evaluation = self.evaluation
        rows = evaluation.told(told) if evaluation is not None else ()
        if evaluation is not None and rows:
            self.evaluation = None
            if evaluation.split == "test":
                self.phase = Phase.DONE
        return rows
