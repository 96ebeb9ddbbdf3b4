"""Federated learning in rounds: some clients train from the newest weights, then one rule makes one model of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import AGGREGATOR, Cause, Counts, Failure, Json, Model, Place, Ref, Row, Told, Work
from orchestrator.strategies.federated import (
    COMES_BACK,
    NONE,
    FederationSettings,
    Sent,
    combine_inputs,
    combine_params,
    figures,
    gradient_signals,
    local_params,
)
from orchestrator.strategies.question import Question
from orchestrator.strategies.versions import Phase, Versions

ATTEMPTS = 3  # of a round in which every client failed, then the run ends


@dataclass(slots=True)
class State:
    """All that `Federation` remembers; JSON by msgspec."""

    versions: Versions = field(default_factory=Versions)
    next_id: int = 0
    attempt: int = 0  # how often every client of this round failed
    server: Ref = NONE  # what the rule remembers
    memory: dict[str, Ref] = field(default_factory=dict)  # client -> what it remembers
    homes: dict[str, str] = field(default_factory=dict)  # simulated client -> the worker that had it last
    asked: dict[str, None] = field(default_factory=dict)  # clients of this round
    out: dict[int, str] = field(default_factory=dict)  # work id -> client
    sent: list[Sent] = field(default_factory=list)  # counted, in order of work id; the quorum is there
    combining: bool = False  # the rule is at them
    signals: dict[str, float] = field(default_factory=dict)


class Federation:
    """The strategy of `federate` with a barrier. One round: local updates (QUORUM), then their combination (REQUIRED).

    Simulated clients are drawn from the seed and all asked at once, more of them than workers if need be; real ones are
    drawn from those connected and idle, and who comes later is asked too until there are enough.
    Holds: a client is asked at most once a round, unless its work was lost. What it remembers is adopted only when its
        update was counted. A client that fails is not counted; when all of a round do, others are drawn.
    Exact: the rule sums in order of work id, whatever the order of arrival.
    """

    def __init__(self, settings: FederationSettings) -> None:
        self.settings = settings
        self._state = State()

    def ask(self, idle: Idle) -> Sequence[Work]:
        state, settings = self._state, self.settings
        works = [self._work(question) for question in state.versions.questions(settings)]
        if state.versions.phase is Phase.OPEN:
            if not state.sent:
                works.extend(self._work(self._local_update(client)) for client in self._drawn(idle))
            elif not state.combining:
                works.append(self._work(self._combine()))
        return works

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        rows: list[Row] = []
        counted: list[Told] = []
        for told in results:
            if told.work.kind == "local_update":
                if told.result.failure is None:
                    counted.append(told)
                else:
                    self._failed(told, told.result.failure)
            elif told.work.kind == "combine":
                rows.append(self._combined(told))
            else:
                rows.extend(self._state.versions.told(told))
        if counted:
            self._quorum_met(counted)
        return rows

    def may_ask(self, worker: str) -> bool:
        state, settings = self._state, self.settings
        if settings.simulated or state.versions.phase is not Phase.OPEN or state.sent:
            return False
        return worker in state.asked or len(state.asked) < settings.rounds.asked

    @property
    def finished(self) -> bool:
        return self._state.versions.phase is Phase.DONE

    @property
    def model(self) -> Model | None:
        weights = self._state.versions.weights
        return Model(weights, self.settings.model) if weights else None

    @property
    def partition(self) -> Ref:
        """Of simulated clients, who has which samples (kind "partition"); "" of real ones."""
        return self._state.versions.partition

    @property
    def signals(self) -> Mapping[str, float]:
        return self._state.signals

    def held(self) -> Iterable[Ref]:
        state = self._state
        held = {*state.versions.refs(self.settings), state.server, *state.memory.values()}
        held.update(ref for sent in state.sent for ref in sent.refs())
        return held - {NONE}

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)

    # -- asking -----------------------------------------------------------------------------------------------------

    @property
    def _round(self) -> int:
        """Round 0 makes the first weights, round n makes version n."""
        versions = self._state.versions
        return 0 if versions.phase is Phase.BEGIN else versions.number + 1

    def _work(self, question: Question) -> Work:
        state = self._state
        lasting = question.kind == "local_update" and not self.settings.simulated
        work = question.numbered(state.next_id, self._round, self.settings.model, lasting=lasting)
        state.next_id += 1
        return work

    def _drawn(self, idle: Idle) -> Sequence[str]:
        """Clients to ask now."""
        state, settings = self._state, self.settings
        if settings.simulated:
            candidates = [] if state.asked else [str(number) for number in range(settings.population)]
        elif not state.asked and len(idle) < settings.min_workers:
            candidates = []
        else:
            candidates = sorted(worker for worker in idle if worker not in state.asked)
        wanted = min(settings.rounds.asked - len(state.asked), len(candidates))
        random = Random(f"{settings.seed} clients of round {self._round}, attempt {state.attempt}")
        drawn = random.sample(candidates, wanted)
        state.asked.update(dict.fromkeys(drawn))
        return drawn

    def _local_update(self, client: str) -> Question:
        state, settings = self._state, self.settings
        inputs = {"weights": state.versions.weights}
        if settings.control:
            inputs |= {"server": state.server, "client": state.memory.get(client, NONE)}
        state.out[state.next_id] = client
        place = Place(prefer=state.homes.get(client, "")) if settings.simulated else Place(worker=client)
        params = local_params(settings, client, state.versions.number)
        return Question("local_update", {k: ref for k, ref in inputs.items() if ref}, params, place, Counts.QUORUM)

    def _combine(self) -> Question:
        state = self._state
        state.combining = True
        inputs = combine_inputs(state.sent, state.versions.weights, state.server)
        params = combine_params(self.settings, state.sent, state.versions.number)
        return Question("combine", inputs, params, Place(role=AGGREGATOR), Counts.REQUIRED)

    # -- being told -------------------------------------------------------------------------------------------------

    def _failed(self, told: Told, failure: Failure) -> None:
        state = self._state
        client = state.out.pop(told.work.id, None)
        if client is None:
            return  # its round is over
        if not self.settings.simulated and failure.cause in COMES_BACK:
            state.asked.pop(client, None)  # it may try again; another cause it would only repeat, thousands of times
        if state.out:
            return
        state.asked.clear()
        state.attempt += failure.cause is not Cause.PREEMPTED
        if state.attempt >= ATTEMPTS:
            reason = f"every client that was asked in round {self._round} failed, {ATTEMPTS} times over"
            raise RunFailed(f"{reason}; the last: {failure.cause}: {failure.message}", traceback=failure.traceback)

    def _quorum_met(self, counted: Sequence[Told]) -> None:
        state = self._state
        for told in sorted(counted, key=lambda told: told.work.id):
            client, outputs = str(told.work.params["client"]), told.result.outputs
            state.sent.append(
                Sent(
                    told.work.id,
                    client,
                    state.versions.number,
                    outputs["update"],
                    told.work.inputs["weights"],
                    dict(told.result.metrics),
                    outputs.get("client", NONE),
                    told.work.inputs.get("client", NONE),
                )
            )
            if "client" in outputs:
                state.memory[client] = outputs["client"]
            if self.settings.simulated:
                state.homes[client] = told.result.worker
        state.out.clear()

    def _combined(self, told: Told) -> Row:
        state, outputs, metrics = self._state, told.result.outputs, told.result.metrics
        state.server = outputs.get("server", NONE)
        state.versions.made(told, self.settings)
        state.signals = dict(gradient_signals(state.sent, metrics))
        row = Row(state.versions.number, figures(state.versions.number, state.sent, metrics))
        state.sent, state.combining, state.attempt = [], False, 0
        state.asked.clear()
        return row
