"""The strategy of a search by AutoHAS: short tries of drawn configurations teach a policy; its best are confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp, isfinite
from random import Random
from statistics import fmean, pstdev
from typing import Any, Literal

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import AGGREGATOR, WORKER, Counts, Failure, Json, Late, Model, Place, Ref, Row, Told, Work
from orchestrator.searching.architectures import MOST_SHARED, architectures
from orchestrator.searching.basis import Category, config_of
from orchestrator.searching.policy import Cell, Policy, PolicySettings, Sample
from orchestrator.searching.policy_figures import policy_figures
from orchestrator.searching.policy_top import most_likely
from orchestrator.searching.space import Config
from orchestrator.strategies.chains import NONE
from orchestrator.strategies.finale import Finale, FinaleSettings
from orchestrator.strategies.trial_table import TrialTable

ATTEMPTS = 3  # at one update whose candidates all fail, then the run ends
EVALUATION = 1 / 3  # of a training step's cost on the same samples: the forward pass alone
EXPONENT = 30.0  # of e, at most

Weights = Literal["fresh", "young", "kept"]
"""What candidates begin with: initial weights of their own; shared ones, made anew now and then or never."""


class Phase(StrEnum):
    INIT = "init"  # the data are counted
    MAKE = "make"  # shared weights are made
    CANDIDATES = "candidates"  # configurations are tried
    LEARN = "learn"  # the shared weights train along architectures that were drawn
    FINAL = "final"  # the most likely ones are trained from scratch, and the chosen one tested


@dataclass(frozen=True, slots=True)
class AutohasSettings:
    """What a user asked for.

    decisions: the space as a basis. final: how the favourites are confirmed; its course is the candidates' too, but for
        how long they train and what they are validated on. Its own training, without a configuration, is that of the
        shared weights. A metric that is to be small is rewarded by exp(-metric), so that divergence, 0, is the worst.
    candidates: of one update, >= 1. updates: >= 1, at most. steps: of a candidate, >= 1.
    validation: samples of a candidate, >= 1, as many as there are at most.
    renew: updates, >= 1, after which young weights are made anew.
    share_steps: >= 1, of each architecture that an update tried, on the shared weights.
    warm_up: rounds, >= 0, in which shared weights are trained and nothing is tried.
    confident: the updates end where the most likely configuration's probability is above it.
    late: whether a result that the quorum did not wait for counts in the next update.
    """

    decisions: tuple[Category, ...]
    seed: int
    final: FinaleSettings
    policy: PolicySettings = field(default_factory=PolicySettings)
    candidates: int = 4
    updates: int = 100
    steps: int = 20
    validation: int = 256
    weights: Weights = "fresh"
    renew: int = 5
    share_steps: int = 1
    warm_up: int = 0
    confident: float = 0.9
    late: bool = True


class Trying(msgspec.Struct):
    """A candidate that is out. log_probability: of its cell, when it was drawn."""

    cell: Cell
    log_probability: float


class Tried(msgspec.Struct):
    """A candidate that came in. reward: None if it diverged."""

    work_id: int
    cell: Cell
    log_probability: float
    reward: float | None


@dataclass(slots=True)
class State:
    """All that `Autohas` remembers besides its policy; JSON by msgspec."""

    phase: Phase = Phase.INIT
    asked: bool = False  # this phase's work is out
    next_id: int = 0
    round: int = 0  # rounds done: updates and warm-up
    updates: int = 0
    attempts: int = 0  # at this update, of which all candidates failed
    samples: dict[str, int] = field(default_factory=dict)  # by split
    shared: Ref = NONE
    drawn: list[Cell] = field(default_factory=list)  # whose architectures the shared weights are to learn
    out: dict[int, Trying] = field(default_factory=dict)  # work id -> candidate, late ones too
    waiting: list[int] = field(default_factory=list)  # work ids of this round that may yet count
    late: list[Tried] = field(default_factory=list)
    cost_steps: float = 0.0
    now_s: float = 0.0  # when the latest result came in
    finale: Finale = field(default_factory=Finale)


class Autohas:
    """A round is an update: k of M candidates (QUORUM), the policy's step, then that of shared weights, if any.

    All candidates of an update begin from equal chance, see the same samples in the same order and are validated on the
    same ones: they differ in their configuration alone.
    Source: Dong, Tan, Yu, Peng, Gabrys, Le 2020, arXiv:2006.03656. Ours adds: fresh or young weights where training is
        searched, k of M, late results by their ratio, confirmation from scratch on several seeds.
    """

    def __init__(self, settings: AutohasSettings) -> None:
        self.settings = settings
        self.policy = Policy(settings.decisions, settings.policy)
        self._state = State()

    def ask(self, idle: Idle) -> Sequence[Work]:
        state = self._state
        if state.phase is Phase.FINAL:
            works = state.finale.ask(state.next_id, state.round + 1, self.settings.final)
            state.next_id += len(works)
            return works
        if state.asked:
            return ()
        state.asked = True
        if state.phase is Phase.INIT:
            some = config_of(self.settings.decisions, [0] * len(self.settings.decisions))
            params: Mapping[str, Json] = {"model": self._training(some)["model"]}
            return [self._work("init", {}, params, AGGREGATOR, Counts.REQUIRED)]
        return self._candidates() if state.phase is Phase.CANDIDATES else [self._share()]

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        rows: list[Row] = []
        counted: list[Tried] = []
        for told in results:
            self._state.now_s = max(self._state.now_s, told.result.received_s)
            if told.work.kind == "candidate":
                counted.extend(self._candidate(told))
            elif told.work.kind == "share":
                self._shared(told)
            elif self._state.phase is Phase.FINAL:
                finals = self._state.finale.tell(told, self.settings.final)
                rows.extend(row._replace(step=row.step + self._state.updates) for row in finals)
            else:
                self._initialised(told)
        if counted:
            rows.append(self._quorum_met(counted))
        return rows

    def may_ask(self, worker: str) -> bool:
        return False  # no work names its worker

    @property
    def finished(self) -> bool:
        return self._state.finale.done

    @property
    def model(self) -> Model | None:
        return self._state.finale.model

    @property
    def signals(self) -> Mapping[str, float]:
        return {}

    @property
    def table(self) -> TrialTable:
        """The runs that confirm."""
        return self._state.finale.table

    @property
    def updates(self) -> int:
        """Of the policy, so far."""
        return self._state.updates

    @property
    def cost_steps(self) -> float:
        """Of all candidates and of the shared weights so far, in steps of the shared batch size; see EVALUATION."""
        return self._state.cost_steps

    @property
    def finale(self) -> Finale:
        """Without configurations until the updates are over."""
        return self._state.finale

    def held(self) -> Iterable[Ref]:
        return {self._state.shared, *self._state.finale.held()} - {NONE}

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return {"autohas": state, "policy": self.policy.state_dict()}

    def load_state_dict(self, state: Json) -> None:
        parts: Any = state
        self._state = msgspec.convert(parts["autohas"], State, strict=False)
        self.policy.load_state_dict(parts["policy"])

    # -- asking -----------------------------------------------------------------------------------------------------

    def _work(
        self, kind: str, inputs: Mapping[str, Ref], params: Mapping[str, Json], role: str, counts: Counts
    ) -> Work:
        """Round 0 counts the data."""
        state = self._state
        number = 0 if state.phase is Phase.INIT else state.round + 1
        late = Late.KEEP if self.settings.late else Late.DROP
        work = Work(state.next_id, number, kind, inputs, params, Place(role=role), counts, late)
        state.next_id += 1
        return work

    def _training(self, config: Config) -> dict[str, Json]:
        return self.settings.final.course.training.of(config)

    def _random(self, purpose: str) -> Random:
        return Random(f"{self.settings.seed} autohas {purpose} {self._state.round} {self._state.attempts}")

    def _candidates(self) -> Sequence[Work]:
        """Data, initial weights and chance are a function of the round; its samples of validation lie anywhere."""
        state, settings = self._state, self.settings
        count = min(settings.validation, state.samples["validation"])
        start = self._random("validation").randrange(state.samples["validation"] - count + 1)
        draws = self._random("cells")
        inputs = {"shared": state.shared} if state.shared else {}
        works = []
        for _ in range(settings.candidates):
            cell = self.policy.draw(draws)
            params: Mapping[str, Json] = {
                **self._training(config_of(settings.decisions, cell)),
                "draw": state.round,
                "epoch": state.round,
                "block": 0,
                "steps": settings.steps,
                "start": start,
                "count": count,
            }
            works.append(self._work("candidate", inputs, params, WORKER, Counts.QUORUM))
            state.out[works[-1].id] = Trying(cell, self.policy.log_probability(cell))
        state.waiting = [work.id for work in works]
        return works

    def _share(self) -> Work:
        """Weights that are not there yet are made first. The candidates of this round have the blocks before."""
        state, settings = self._state, self.settings
        inputs = {"shared": state.shared} if state.shared else {}
        common = self._training({})
        params: Mapping[str, Json] = {
            **{name: common[name] for name in ("optimizer", "batch_size", "clip_norm")},
            "draw": state.round,
            "epoch": state.round,
            "block": settings.steps,
            "steps": settings.share_steps,
            "models": [self._training(config_of(settings.decisions, cell))["model"] for cell in state.drawn],
            "all_models": []
            if inputs
            else architectures(settings.decisions, settings.final.course.training, MOST_SHARED),
        }
        return self._work("share", inputs, params, AGGREGATOR, Counts.REQUIRED)

    # -- being told -------------------------------------------------------------------------------------------------

    def _initialised(self, told: Told) -> None:
        state = self._state
        state.samples = {
            split: int(told.result.metrics[f"{split}_samples"]) for split in ("train", "validation", "test")
        }
        if not state.samples["validation"]:
            raise RunFailed("there are no validation samples, and a search is rewarded by them: look at Task.data")
        self._next_round()

    def _next_round(self) -> None:
        """In a warm-up round the shared weights learn; in any other candidates are tried, once there are weights."""
        state, settings = self._state, self.settings
        state.drawn, state.attempts = [], 0
        if settings.weights == "young" and state.updates % settings.renew == 0:
            state.shared = NONE
        if settings.weights == "fresh":
            self._enter(Phase.CANDIDATES)
        elif state.round < settings.warm_up:
            draws = self._random("warm-up")
            state.drawn = [self.policy.draw(draws) for _ in range(settings.candidates)]
            self._enter(Phase.LEARN)
        else:
            self._enter(Phase.CANDIDATES if state.shared else Phase.MAKE)

    def _enter(self, phase: Phase) -> None:
        self._state.phase, self._state.asked = phase, False

    def _shared(self, told: Told) -> None:
        state = self._state
        state.shared = told.result.outputs["shared"]
        state.cost_steps += told.result.metrics["steps"]
        if state.phase is Phase.MAKE:
            self._enter(Phase.CANDIDATES)
        else:
            state.round += 1
            self._next_round()

    def _candidate(self, told: Told) -> Iterable[Tried]:
        """What counts for this update; what came too late is put by."""
        state = self._state
        trying = state.out.pop(told.work.id)
        if state.phase is Phase.FINAL:
            return
        if told.result.failure is not None:
            self._candidate_failed(told.work.id, told.result.failure)
            return
        metrics, params = told.result.metrics, told.work.params
        samples = metrics["steps"] * float(str(params["batch_size"])) + EVALUATION * float(str(params["count"]))
        state.cost_steps += samples / self.settings.final.course.training.batch_size
        tried = Tried(told.work.id, trying.cell, trying.log_probability, self._reward(metrics))
        if told.work.id in state.waiting:
            yield tried
        else:
            state.late.append(tried)

    def _reward(self, metrics: Mapping[str, float]) -> float | None:
        if metrics["diverged"]:
            return None
        course = self.settings.final.course
        value = course.value_in(metrics)
        reward = value if course.mode == "max" else exp(-max(value, -EXPONENT))
        return reward if isfinite(reward) else None

    def _candidate_failed(self, work_id: int, failure: Failure) -> None:
        """Missing is no reward of 0. If none is left the update is tried again with others."""
        state = self._state
        if work_id not in state.waiting:
            return
        state.waiting.remove(work_id)
        if state.waiting:
            return
        state.attempts += 1
        if state.attempts >= ATTEMPTS:
            reason = f"all candidates of update {state.updates + 1} failed {ATTEMPTS} times"
            raise RunFailed(f"{reason}: {failure.cause}: {failure.message}", traceback=failure.traceback)
        state.asked = False

    def _quorum_met(self, counted: Sequence[Tried]) -> Row:
        state, settings = self._state, self.settings
        late, state.late, state.waiting = state.late, [], []
        if not settings.late:
            state.out.clear()  # the others are never told
        tried = sorted([*counted, *late], key=lambda one: one.work_id)  # whatever the order of arrival
        rewards = [0.0 if one.reward is None else one.reward for one in tried]
        samples = zip(tried, rewards, strict=True)
        self.policy.update([Sample(one.cell, reward, one.log_probability) for one, reward in samples])
        state.updates += 1
        figures = policy_figures(self.policy)
        row = Row(
            state.updates,
            {
                "update": float(state.updates),
                "reward": fmean(rewards),
                "reward_sd": pstdev(rewards),
                "diverged": sum(one.reward is None for one in tried) / len(tried),
                "waited_for": float(len(counted)),
                "late": float(len(late)),
                "cost_steps": state.cost_steps,
                **figures,
            },
        )
        if state.updates >= settings.updates or figures["confidence"] > settings.confident:
            self._confirm()
        elif settings.weights == "fresh" or (settings.weights == "young" and state.updates % settings.renew == 0):
            state.round += 1  # what they would learn would be thrown away
            self._next_round()
        else:
            state.drawn = [one.cell for one in sorted(counted, key=lambda one: one.work_id)]
            self._enter(Phase.LEARN)
        return row

    def _confirm(self) -> None:
        state, settings = self._state, self.settings
        likely = most_likely(self.policy, settings.final.top)
        configs = [config_of(settings.decisions, one.cell) for one in likely]
        state.shared, state.late, state.phase = NONE, [], Phase.FINAL
        state.finale = Finale.begun(configs, state.samples["test"], settings.final, state.now_s)
