"""Trials of any searcher on whoever is free; then the best from scratch on several seeds, and the chosen one tested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import AGGREGATOR, Counts, Json, Model, Place, Ref, Row, Told, Work
from orchestrator.searching.score import WORST
from orchestrator.searching.searcher import Searcher
from orchestrator.searching.space import Config
from orchestrator.strategies.chains import NONE, VALIDATION, Chain, Chains, Course
from orchestrator.strategies.confirmation import Confirmation
from orchestrator.strategies.final_test import FinalTest
from orchestrator.strategies.start import START
from orchestrator.strategies.trial_table import Status, TrialTable


class Phase(StrEnum):
    INIT = "init"  # the data are counted
    SEARCH = "search"  # trials train as the searcher says
    CONFIRM = "confirm"  # the best train once more
    TEST = "test"  # the chosen one is evaluated, if there are test data


@dataclass(frozen=True, slots=True)
class TrialsSettings:
    """What a user asked for.

    trials: the searcher's, at most. epochs: of one trial at most.
    top, seeds: how many are confirmed, on how many seeds; top 0: none, and the best trial's own weights are the model.
    keep: >= 1, trials whose best weights are kept. first: any configuration, to count the data with.
    started: every trial starts from the weights START; else from fresh ones.
    """

    course: Course
    trials: int
    epochs: float
    top: int = 3
    seeds: int = 2
    keep: int = 8
    first: Config = field(default_factory=dict)
    started: bool = False


@dataclass(slots=True)
class Chosen:
    """What the search came to. trial, config: of whom. score: mean of its runs from scratch if it was confirmed."""

    trial: int
    config: dict[str, Json]
    score: float
    weights: Ref
    confirmed: bool


@dataclass(slots=True)
class State:
    """All that `Trials` remembers besides its searcher; JSON by msgspec."""

    phase: Phase = Phase.INIT
    next_id: int = 0
    asked: bool = False  # init is out
    now_s: float = 0.0
    steps: int = 0  # works of trials told
    test_samples: int = 0
    start: Ref = NONE  # what every trial starts from, once it is taken in
    chains: Chains = field(default_factory=Chains)
    table: TrialTable = field(default_factory=TrialTable)
    candidates: list[int] = field(default_factory=list)  # trials that are confirmed
    confirmation: Confirmation = field(default_factory=Confirmation)
    chosen: Chosen | None = None
    test: FinalTest | None = None


class Trials:
    """The strategy of `search` with any searcher: one endless round, whose works are taken as they come."""

    def __init__(self, settings: TrialsSettings, searcher: Searcher) -> None:
        self.settings, self.searcher = settings, searcher
        self._state = State()

    def ask(self, idle: Idle) -> Sequence[Work]:
        state, works = self._state, list[Work]()
        if state.phase is Phase.INIT and not state.asked:
            state.asked = True
            params = {"model": self._arguments(self.settings.first)}
            given = {"given": START} if self.settings.started else {}
            works.append(Work(state.next_id, 0, "init", given, params, Place(role=AGGREGATOR), Counts.REQUIRED))
            state.next_id += 1
        elif state.phase in (Phase.SEARCH, Phase.CONFIRM):
            for _ in range(sum(idle[worker] for worker in idle)):
                if (work := self._next()) is None:
                    break
                works.append(work)
                state.next_id += 1
        elif state.test is not None:
            works.extend(state.test.ask(state.next_id, 0))
            state.next_id += len(works)
        return works

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        state, rows = self._state, list[Row]()
        for told in results:
            state.now_s = max(state.now_s, told.result.received_s)
            if told.work.kind == "trial":
                rows.append(self._trained(told))
            elif state.test is not None:
                rows.extend(state.test.tell(told))
            else:
                state.test_samples = int(told.result.metrics["test_samples"])
                state.start = told.result.outputs["weights"] if self.settings.started else NONE
                state.phase = Phase.SEARCH
        rows.extend(self._go_on())
        return rows

    def may_ask(self, worker: str) -> bool:
        return False  # no work names its worker

    @property
    def finished(self) -> bool:
        return self._state.test is not None and self._state.test.done

    @property
    def model(self) -> Model | None:
        """Before one is chosen, the best trial's."""
        if self._state.chosen is None and not self.table.best(1):
            return None
        chosen = self.chosen
        return Model(chosen.weights, self._arguments(chosen.config))

    @property
    def chosen(self) -> Chosen:
        """Before the choice, the best trial so far; there is one."""
        if self._state.chosen is not None:
            return self._state.chosen
        best = self.table.best(1)[0]
        return Chosen(best.trial, best.config, best.score, best.weights, confirmed=False)

    @property
    def signals(self) -> Mapping[str, float]:
        return {}

    @property
    def table(self) -> TrialTable:
        return self._state.table

    @property
    def confirmation(self) -> Confirmation:
        """Without candidates before the search is over, or if none were asked for."""
        return self._state.confirmation

    @property
    def candidates(self) -> Sequence[int]:
        """The trials that are confirmed, in the confirmation's order."""
        return self._state.candidates

    def held(self) -> Iterable[Ref]:
        state = self._state
        held = {*state.chains.held(), *state.table.held(), *state.confirmation.held()}
        if state.phase is not Phase.TEST:
            held.update((state.start, START if self.settings.started and state.phase is Phase.INIT else NONE))
        if state.chosen is not None:
            held.add(state.chosen.weights)
        return held - {NONE}

    def state_dict(self) -> Json:
        return {
            "trials": msgspec.to_builtins(self._state, str_keys=True),
            "searcher": self.searcher.state_dict(),
        }

    def load_state_dict(self, state: Json) -> None:
        assert isinstance(state, Mapping)
        self._state = msgspec.convert(state["trials"], State, strict=False)
        self.searcher.load_state_dict(state["searcher"])

    # -- asking -----------------------------------------------------------------------------------------------------

    def _arguments(self, config: Config) -> Mapping[str, Json]:
        """Of the task's model, in a configuration."""
        arguments = self.settings.course.training.of(config)["model"]
        assert isinstance(arguments, Mapping)
        return arguments

    def _next(self) -> Work | None:
        """Of a chain that is ready, else of the searcher's next segment, if it has one now."""
        state, course = self._state, self.settings.course
        if state.phase is Phase.CONFIRM:
            return state.confirmation.ask(state.next_id, course)
        if not state.chains.ready:
            segment = self.searcher.next()
            if segment is None:
                return None
            chain = state.table.begin(segment, state.now_s)
            chain.weights = chain.weights or state.start
            state.chains.begin(chain)
        return state.chains.ask(state.next_id, course)

    # -- being told -------------------------------------------------------------------------------------------------

    def _trained(self, told: Told) -> Row:
        """One work of a trial, or of a confirming run."""
        state, course = self._state, self.settings.course
        value = course.value(told)
        if state.phase is Phase.SEARCH:
            chain = state.chains.tell(told)
            state.table.trained(chain, told, value)
            if chain.over:
                self._trial_ended(chain, told, course.score(value))
        else:
            chain = state.confirmation.tell(told, course)
        state.steps += 1
        trials = state.table.judged + state.confirmation.over
        samples = told.result.metrics.get("samples", 0.0)
        figures = {"trials": float(trials), "trial_epochs": chain.at, "samples": samples}
        if value is not None:
            figures[f"trial_{course.metric}"] = value
        if best := self.table.best(1):
            figures[f"best_{course.metric}"] = course.shown(best[0].score)
        return Row(state.steps, figures)

    def _trial_ended(self, chain: Chain, told: Told, good: float) -> None:
        if told.result.failure is not None or "out_of_memory" in told.result.metrics:
            status = Status.FAILED
            self.searcher.failed(chain.key)
        else:
            healthy = Status.DONE if chain.at == self.settings.epochs else Status.WAITING
            status = healthy if good > WORST else Status.DIVERGED
            self.searcher.told(chain.key, good)
        self.table.ended(chain, status, good)
        self.table.keep(self.searcher.needed(), max(self.settings.keep, self.settings.top))

    def _go_on(self) -> Sequence[Row]:
        """To the next phase, if this one is complete."""
        state, settings = self._state, self.settings
        if state.phase is Phase.SEARCH and self.searcher.finished:
            state.table.close()
            self._require_one()
            best = state.table.best(settings.top)
            configs = [kept.config for kept in best]
            state.candidates = [kept.trial for kept in best]
            state.confirmation = Confirmation.begun(
                configs, settings.seeds, settings.epochs, settings.trials, state.start
            )
            state.phase = Phase.CONFIRM
        if state.phase is Phase.CONFIRM and state.confirmation.complete:
            return [self._choose()]
        return ()

    def _require_one(self) -> None:
        trials = self.table.trials.values()
        if not self.table.best(1):
            failed = sum(trial.status is Status.FAILED for trial in trials)
            reason = f"not one of {len(trials)} trials can be used: {failed} failed, the others diverged"
            raise RunFailed(f"{reason}. Look for smaller learning rates or models, or set clip_norm")

    def _choose(self) -> Row:
        """The candidate with the best mean; where none was confirmed, or all diverged, the best trial itself."""
        state, course, chosen = self._state, self.settings.course, self.chosen
        for best in state.confirmation.ranking()[:1]:
            if best.score > WORST:
                trial, config = state.candidates[best.candidate], dict(best.config)
                chosen = Chosen(trial, config, best.score, best.weights, confirmed=True)
        state.chosen, model = chosen, Model(chosen.weights, self._arguments(chosen.config))
        state.test, state.phase = FinalTest.of(model, state.test_samples, state.steps), Phase.TEST
        metric = f"{VALIDATION}{course.metric}"
        return Row(state.steps, {"chosen_trial": float(chosen.trial), metric: course.shown(chosen.score)})
