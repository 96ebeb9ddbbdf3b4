"""The strategy of `merge`: all candidates are made and judged in parallel, and validation data choose among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import Counts, Json, Model, Place, Ref, Row, Told, Work
from orchestrator.searching.score import score
from orchestrator.strategies.entry import NONE, Entry, entry_of
from orchestrator.strategies.evaluation import Evaluation
from orchestrator.strategies.greedy_soup import GreedySoup
from orchestrator.strategies.merge_sources import Sources
from orchestrator.strategies.merging_settings import MergingSettings, Wanted

MEMBERS = "ensemble.members"
"""The argument that makes a model an ensemble; see `trainers.building`."""


class Phase(StrEnum):
    SOURCES = "sources"  # they are taken in, or trained
    CANDIDATES = "candidates"  # sources and candidates are made and judged
    TEST = "test"  # the best source and the chosen candidate are evaluated on test data
    DONE = "done"


@dataclass(slots=True)
class State:
    """All that `Merging` remembers; JSON by msgspec.

    candidates: in order of ask; speculative ones of a greedy soup among them. out: works that are under way, and the
    entry that each is for: "base", "source.N" or "candidate.N".
    """

    phase: Phase = Phase.SOURCES
    next_id: int = 0
    round: int = 0  # of the newest quorum work
    sources: Sources = field(default_factory=Sources)
    candidates: list[Entry] = field(default_factory=list)
    soup: GreedySoup | None = None
    out: dict[int, str] = field(default_factory=dict)
    chosen: int = -1  # the best candidate so far
    best_source: int = -1


class Merging:
    """Evaluates all sources and all candidates on validation data, each beside the others, and chooses the best.

    Every merge, and every trial of a parent, is a round of its own, and evaluations are ASIDE: nothing waits for what
    it does not need. The greedy soup goes one generation ahead where a worker has nothing else to do, in pieces of one
    merge or 1,000 samples, so that nothing has to be stopped when it was in vain.
    Holds: what is chosen is a function of the values alone, not of who came first; of equals the first asked for.
    """

    def __init__(self, settings: MergingSettings) -> None:
        self.settings = settings
        self._state = State()

    def ask(self, idle: Idle) -> Sequence[Work]:
        works = [self._work(*need) for need in self._state.sources.to_ask(self.settings)]
        if self._state.phase in (Phase.CANDIDATES, Phase.TEST):
            works.extend(self._merges())
            works.extend(self._evaluations())
            works.extend(islice(self._speculative_works(), max(0, len(idle) - len(works))))
        return works

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        rows: list[Row] = []
        for told in results:
            name = self._state.out.pop(told.work.id)
            failure = told.result.failure
            if told.work.kind == "evaluate":
                rows.extend(self._evaluated(self._entry(name), told))
            elif failure is not None:
                reason = f"{told.work.kind} for {name} failed for good: {failure.cause}: {failure.message}"
                raise RunFailed(reason, traceback=failure.traceback)
            elif told.work.kind in ("init", "trial"):
                rows.extend(self._made_source(name, told))
            elif told.work.kind == "predict":
                self._entry(name).predictions = told.result.outputs["predictions"]
            else:
                self._entry(name).made(told)
        return rows

    def may_ask(self, worker: str) -> bool:
        return False

    @property
    def finished(self) -> bool:
        return self._state.phase is Phase.DONE

    @property
    def signals(self) -> Mapping[str, float]:
        return {}

    @property
    def model(self) -> Model | None:
        chosen = self.chosen
        return None if chosen is None else Model(chosen.weights, chosen.arguments)

    @property
    def sources(self) -> Sequence[Entry]:
        return self._state.sources.entries

    @property
    def candidates(self) -> Sequence[Entry]:
        """Those that were to be judged, without speculations that came to nothing."""
        return [entry for entry in self._state.candidates if not entry.speculative]

    @property
    def chosen(self) -> Entry | None:
        return self._state.candidates[self._state.chosen] if self._state.chosen >= 0 else None

    @property
    def best_source(self) -> Entry | None:
        return self.sources[self._state.best_source] if self._state.best_source >= 0 else None

    def held(self) -> Iterable[Ref]:
        state = self._state
        held = set(state.sources.held(self.settings))
        for entry in (*self.sources, *state.candidates):
            if not self._is_stale(entry):
                held.update((entry.weights, entry.predictions))
        return held - {NONE}

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)

    # -- candidates -------------------------------------------------------------------------------------------------

    def _made_source(self, name: str, told: Told) -> Iterable[Row]:
        state = self._state
        state.sources.made(self.settings, name, told)
        if state.sources.ready:
            state.phase, everyone = Phase.CANDIDATES, list(range(len(self.sources)))
            fixed = [wanted for wanted in self.settings.wanted if wanted.recipe != "greedy_soup"]
            state.candidates = [self._candidate(wanted, everyone) for wanted in fixed]
        if told.work.kind != "trial":
            return ()
        loss = {"train_loss": told.result.metrics["train_loss"]} if "train_loss" in told.result.metrics else {}
        return [self._row(loss)]

    def _candidate(self, wanted: Wanted, members: list[int], *, speculative: bool = False) -> Entry:
        arguments: Mapping[str, Any] = self.settings.model
        if wanted.recipe == "ensemble":
            arguments = {MEMBERS: [self.sources[member].arguments for member in members]}
        label = wanted.label
        if wanted.recipe == "greedy_soup":
            label += f" of {len(members)}"
        entry = entry_of(label, arguments, recipe=wanted.recipe, options=wanted.options, members=members)
        entry.speculative = speculative
        return entry

    def _merges(self) -> Iterator[Work]:
        """Those to make now, and what they need."""
        for number, entry in enumerate(self._state.candidates):
            if entry.asked or entry.speculative:
                continue
            if entry.recipe == "ensemble" and not all(source.predictions for source in self.sources):
                yield from self._predictions()
                continue
            entry.asked = True
            yield self._make(f"candidate.{number}", entry)

    def _speculative_works(self) -> Iterator[Work]:
        """Of what the greedy soup may want next: of each the merge, or then one part of its evaluation."""
        for number, entry in enumerate(self._state.candidates):
            if not entry.speculative or self._is_stale(entry) or entry.judged:
                continue
            if not entry.asked:
                entry.asked = True
                yield self._make(f"candidate.{number}", entry)
            elif entry.weights:
                yield from self._parts(f"candidate.{number}", entry, "validation", together=False)

    def _is_stale(self, entry: Entry) -> bool:
        """Whether it was speculated on in vain."""
        soup = self._state.soup
        return entry.speculative and (soup is None or entry.members not in soup.speculations())

    def _predictions(self) -> Iterable[Work]:
        span = {"split": "validation", "start": 0, "count": self._state.sources.samples["validation"]}
        for number, source in enumerate(self.sources):
            if not source.predicting:
                source.predicting = True
                params = {**span, "model": source.arguments}
                yield self._work(f"source.{number}", "predict", {"weights": source.weights}, params)

    def _make(self, name: str, entry: Entry) -> Work:
        sources = [self.sources[member] for member in entry.members]
        inputs = {f"source.{number}": source.weights for number, source in enumerate(sources)}
        if entry.recipe == "ensemble":
            inputs |= {f"predictions.{number}": source.predictions for number, source in enumerate(sources)}
            return self._work(name, "ensemble", inputs, {"members": entry.arguments[MEMBERS]})
        if self._state.sources.base:
            inputs["base"] = self._state.sources.base
        params = {"options": entry.options, "sources": len(sources), "model": entry.arguments}
        if entry.recipe == "atlas":
            return self._work(name, "atlas", inputs, params)
        method = "uniform" if entry.recipe == "greedy_soup" else entry.recipe
        return self._work(name, "merge", inputs, {**params, "method": method})

    def _grow_soup(self) -> None:
        """Takes up what is judged already, and makes a candidate of what is to be judged next."""
        state = self._state
        if "greedy_soup" not in [wanted.recipe for wanted in self.settings.wanted]:
            return
        if state.soup is None:
            state.soup = GreedySoup.begin({number: self._score(entry) for number, entry in enumerate(self.sources)})
            first = self._soup_of(state.soup.members)
            first.take_over(self.sources[state.soup.members[0]])
            self._compare(first)
        while (members := state.soup.next) is not None:
            entry = self._soup_of(members)
            if not entry.judged:
                for guess in state.soup.speculations():
                    self._soup_of(guess, speculative=True)
                return
            newest = self.sources[members[-1]].label
            if state.soup.judged(self._score(entry)):
                entry.note = f"{newest} makes it better"
            else:
                entry.note = f"{newest} does not make it better, and is left out"
            self._compare(entry)

    def _soup_of(self, members: Sequence[int], *, speculative: bool = False) -> Entry:
        """The candidate with these members, made if it is new; no speculation any more unless this is one."""
        for entry in self._state.candidates:
            if entry.recipe == "greedy_soup" and entry.members == list(members):
                entry.speculative = entry.speculative and speculative
                return entry
        entry = self._candidate(Wanted("greedy_soup"), list(members), speculative=speculative)
        self._state.candidates.append(entry)
        return entry

    # -- judging ----------------------------------------------------------------------------------------------------

    def _evaluations(self) -> Iterator[Work]:
        """On validation data of all that is there; in the end on test data, of the two models that matter."""
        test = self._state.phase is Phase.TEST
        for name, entry in self._named():
            wanted = entry is self.chosen or entry is self.best_source if test else not entry.speculative
            if wanted and entry.weights:
                yield from self._parts(name, entry, "test" if test else "validation", together=True)

    def _parts(self, name: str, entry: Entry, split: str, *, together: bool) -> Iterator[Work]:
        """See `Evaluation.together`."""
        if split in entry.metrics:
            return
        if entry.evaluation is None:
            entry.evaluation = Evaluation(split, 0, entry.weights, self._state.sources.samples[split])
        entry.evaluation.together = together
        for start, count in entry.evaluation.parts_to_ask():
            params = {"split": split, "start": start, "count": count, "model": entry.arguments}
            yield self._work(name, "evaluate", {"weights": entry.weights}, params, Counts.ASIDE)

    def _evaluated(self, entry: Entry, told: Told) -> Iterable[Row]:
        """A part came in; at the end of an evaluation its entry is judged."""
        evaluation = entry.evaluation
        assert evaluation is not None
        prefix = f"{evaluation.split}_"
        for row in evaluation.told(told):
            entry.evaluation = None
            entry.metrics[evaluation.split] = {name.removeprefix(prefix): value for name, value in row.metrics.items()}
        if entry.evaluation is not None:
            return ()
        if evaluation.split == "test":
            return self._tested()
        if self.settings.metric not in entry.metrics["validation"]:
            known = ", ".join(entry.metrics["validation"])
            raise RunFailed(f"merge.metric is {self.settings.metric!r}, but the task's metrics are {known}")
        return self._judged(entry)

    def _judged(self, entry: Entry) -> Iterable[Row]:
        state = self._state
        if entry.speculative:
            return ()
        if any(source is entry for source in self.sources):
            if all(source.judged for source in self.sources):
                scores = [self._score(source) for source in self.sources]
                state.best_source = scores.index(max(scores))
        elif entry.recipe != "greedy_soup":
            self._compare(entry)
        if state.best_source >= 0:
            self._grow_soup()
        rows = [self._row({self._figure: self._value(entry)})]
        soup_done = state.soup is None or state.soup.next is None
        if state.best_source >= 0 and soup_done and all(candidate.judged for candidate in self.candidates):
            rows.extend(self._begin_test())
        return rows

    def _begin_test(self) -> Iterable[Row]:
        """From now on only two models matter."""
        state = self._state
        state.phase = Phase.TEST
        for _, entry in self._named():
            entry.predictions = NONE
            if entry is not self.chosen and entry is not self.best_source:
                entry.weights = NONE
        return () if state.sources.samples["test"] else self._tested()

    def _row(self, figures: Mapping[str, float]) -> Row:
        """progress: models trained and models judged."""
        judged = sum(entry.judged and not entry.speculative for _, entry in self._named())
        done = self._state.sources.trained + judged
        return Row(done, {"progress": float(done), **figures})

    def _compare(self, entry: Entry) -> None:
        """Whether it is the best so far; the weights of those that are not are let go."""
        state = self._state
        number = next(number for number, candidate in enumerate(state.candidates) if candidate is entry)
        chosen = self.chosen
        if chosen is None or (self._score(entry), -number) > (self._score(chosen), -state.chosen):
            state.chosen, entry = number, chosen or entry
        if entry is not self.chosen:
            entry.weights = NONE

    def _tested(self) -> Iterable[Row]:
        """The last row, once the best source and the chosen candidate are through."""
        state, chosen, source = self._state, self.chosen, self.best_source
        assert chosen is not None
        assert source is not None
        if state.sources.samples["test"] and not ("test" in chosen.metrics and "test" in source.metrics):
            return ()
        state.phase = Phase.DONE
        figures = {f"{split}_{name}": value for split, named in chosen.metrics.items() for name, value in named.items()}
        before = {
            f"best_source_{split}_{name}": value
            for split, named in source.metrics.items()
            for name, value in named.items()
        }
        return [self._row({**before, **figures})]

    @property
    def _figure(self) -> str:
        return f"validation_{self.settings.metric}"

    def _value(self, entry: Entry) -> float:
        return entry.metrics["validation"][self.settings.metric]

    def _score(self, entry: Entry) -> float:
        return score(self._value(entry), self.settings.mode)

    # -- works ------------------------------------------------------------------------------------------------------

    def _named(self) -> Iterable[tuple[str, Entry]]:
        yield from ((f"source.{number}", entry) for number, entry in enumerate(self.sources))
        yield from ((f"candidate.{number}", entry) for number, entry in enumerate(self._state.candidates))

    def _entry(self, name: str) -> Entry:
        kind, _, number = name.partition(".")
        return (self.sources if kind == "source" else self._state.candidates)[int(number)]

    def _work(
        self,
        name: str,
        kind: str,
        inputs: Mapping[str, Ref],
        params: Mapping[str, Any],
        counts: Counts = Counts.QUORUM,
    ) -> Work:
        state = self._state
        state.round += counts is Counts.QUORUM  # each a round of its own: none waits for another
        work = Work(state.next_id, state.round, kind, inputs, params, Place(), counts)
        state.out[work.id] = name
        state.next_id += 1
        return work
