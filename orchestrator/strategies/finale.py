"""The end of a search that has no trained trials: its favourites are confirmed from scratch, the best one is tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.errors import RunFailed
from orchestrator.records import Counts, Model, Ref, Row, Told, Work
from orchestrator.searching.score import WORST
from orchestrator.searching.space import Config
from orchestrator.strategies.chains import Chain, Course
from orchestrator.strategies.confirmation import Confirmation
from orchestrator.strategies.final_test import FinalTest
from orchestrator.strategies.trial_table import Status, Trial, TrialTable


@dataclass(frozen=True, slots=True)
class FinaleSettings:
    """top, seeds: >= 1, how many are confirmed, on how many seeds. epochs: of each run. keep: runs kept, the best."""

    course: Course
    top: int = 3
    seeds: int = 2
    epochs: float = 1.0
    keep: int = 8


@dataclass(slots=True)
class Finale:
    """Its strategy asks and tells; JSON by msgspec. Its works are ASIDE: each is told by itself, whatever the quorum.

    table: every run, numbered in the order of the configurations and, for each, of the seeds.
    """

    test_samples: int = 0
    confirmation: Confirmation = field(default_factory=Confirmation)
    table: TrialTable = field(default_factory=TrialTable)
    steps: int = 0  # works told
    test: FinalTest | None = None

    @classmethod
    def begun(cls, configs: Sequence[Config], test_samples: int, settings: FinaleSettings, now_s: float) -> Finale:
        """configs: the most promising first."""
        confirmation = Confirmation.begun(configs, settings.seeds, settings.epochs, number=0)
        runs = enumerate(confirmation.runs)
        trials = {number: Trial(confirmation.configs[run.candidate], now_s) for number, run in runs}
        return cls(test_samples, confirmation, TrialTable(trials))

    def ask(self, first_id: int, round_: int, settings: FinaleSettings) -> list[Work]:
        """All that can be asked now, with ids from `first_id` on."""
        works: list[Work] = []
        while (work := self.confirmation.ask(first_id + len(works), settings.course)) is not None:
            works.append(work._replace(round=round_, counts=Counts.ASIDE))
        if self.test is not None:
            works.extend(self.test.ask(first_id + len(works), round_))
        return works

    def tell(self, told: Told, settings: FinaleSettings) -> Sequence[Row]:
        """Figures by the number of works told. Raises RunFailed: not one configuration can be used."""
        if self.test is not None:
            return self.test.tell(told)
        self.steps += 1
        course = settings.course
        value = course.value(told)
        chain = self.confirmation.tell(told, course)
        self.table.trained(chain, told, value)
        figures = {"trial_epochs": chain.at}
        if chain.over:
            self._ended(chain, told, settings)
        if value is not None:
            figures[f"trial_{course.metric}"] = value
        rows = [Row(self.steps, figures)]
        if self.confirmation.complete:
            rows.append(self._chosen(settings))
        return rows

    def held(self) -> Iterator[Ref]:
        yield from self.confirmation.held()
        yield from self.table.held()
        if self.test is not None:
            yield self.test.model.weights

    @property
    def model(self) -> Model | None:
        """The chosen one."""
        return self.test.model if self.test is not None else None

    @property
    def done(self) -> bool:
        return self.test is not None and self.test.done

    def _ended(self, chain: Chain, told: Told, settings: FinaleSettings) -> None:
        good = settings.course.score(settings.course.value(told))
        healthy = Status.DONE if good > WORST else Status.DIVERGED
        self.table.ended(chain, Status.FAILED if told.result.failure is not None else healthy, good)
        self.table.keep((), settings.keep)

    def _chosen(self, settings: FinaleSettings) -> Row:
        best, course = self.confirmation.ranking()[0], settings.course
        if best.score == WORST:
            reason = (
                f"each of the {len(self.confirmation.configs)} configurations diverged or failed when it was confirmed"
            )
            raise RunFailed(f"{reason}. Look for smaller learning rates, or set clip_norm")
        arguments = course.training.of(best.config)["model"]
        assert isinstance(arguments, Mapping)
        self.test = FinalTest.of(Model(best.weights, arguments), self.test_samples, self.steps)
        return Row(
            self.steps, {"chosen": float(best.candidate), f"validation_{course.metric}": course.shown(best.score)}
        )
