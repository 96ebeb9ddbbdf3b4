"""The best of a search once more from scratch, on several seeds; their mean decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.records import Json, Ref, Told, Work
from orchestrator.searching.score import WORST, ranked
from orchestrator.searching.space import Config
from orchestrator.strategies.chains import NONE, Chain, Chains, Course


@dataclass(slots=True)
class Run:
    """One retraining of a candidate; score: WORST if it diverged or failed, None while it is not over."""

    candidate: int
    weights: Ref = NONE
    score: float | None = None


class Ranked(NamedTuple):
    """A candidate with its mean score, and the weights of its best run; WORST and NONE if one of its runs diverged."""

    candidate: int
    config: Config
    score: float
    weights: Ref


@dataclass(slots=True)
class Confirmation:
    """`seeds` runs of each candidate, its strategy asking and telling; JSON by msgspec.

    All candidates get the same seeds: first weights, order of data and chance differ between seeds only. Without
    candidates it is complete from the start.
    """

    configs: list[dict[str, Json]] = field(default_factory=list)  # of the candidates
    runs: list[Run] = field(default_factory=list)
    chains: Chains = field(default_factory=Chains)

    @classmethod
    def begun(
        cls, configs: Sequence[Config], seeds: int, epochs: float, number: int, start: Ref = NONE
    ) -> Confirmation:
        """configs: the most promising first. number: of the first seed; trials have others (see `Chain`), and share
        their first weights, which no confirming run starts from; start: all the same start from these."""
        confirmation = cls([dict(config) for config in configs])
        for candidate, config in enumerate(confirmation.configs):
            for seed in range(seeds):
                confirmation.chains.begin(
                    Chain(len(confirmation.runs), number + seed, config, epochs, 0.0, start, first=1 + seed)
                )
                confirmation.runs.append(Run(candidate))
        return confirmation

    def ask(self, work_id: int, course: Course) -> Work | None:
        """The next work for a worker that is free; None: nothing now."""
        return self.chains.ask(work_id, course) if self.chains.ready else None

    def tell(self, told: Told, course: Course) -> Chain:
        """What came of one of its works."""
        chain = self.chains.tell(told)
        if chain.over:
            run = self.runs[chain.key]
            run.weights, run.score = chain.weights, course.score(course.value(told))
        return chain

    @property
    def over(self) -> int:
        """How many runs have come to their end."""
        return sum(run.score is not None for run in self.runs)

    @property
    def complete(self) -> bool:
        return self.over == len(self.runs)

    def ranking(self) -> list[Ranked]:
        """Every candidate, the best mean first; of equals the more promising."""
        candidates = {number: self._ranked(number) for number in range(len(self.configs))}
        order = ranked({number: candidate.score for number, candidate in candidates.items()})
        return [candidates[number] for number in order]

    def held(self) -> Iterator[Ref]:
        yield from self.chains.held()
        yield from (run.weights for run in self.runs if run.weights)

    def _ranked(self, candidate: int) -> Ranked:
        runs = [run for run in self.runs if run.candidate == candidate]
        scores = [WORST if run.score is None else run.score for run in runs]
        if WORST in scores:
            return Ranked(candidate, self.configs[candidate], WORST, NONE)
        best = runs[scores.index(max(scores))]
        return Ranked(candidate, self.configs[candidate], sum(scores) / len(scores), best.weights)
