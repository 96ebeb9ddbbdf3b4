"""Federated learning in rounds: some clients train from the newest weights, then one rule makes one model of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import AGGREGATOR, Cause, Counts, Failure, Json, Model, Place, Ref, Row, Told, Work
from orchestrator.strategies.federated import (
    COMES_BACK,
    NONE,
    START,
    FederationSettings,
    Judging,
    Sent,
    combine_inputs,
    combine_params,
    figures,
    gradient_signals,
    local_params,
)

ATTEMPTS = 3  # of a round in which every client failed, then the run ends


class Phase(StrEnum):
    BEGIN = "begin"  # the first weights are being made, and the partition
    ROUND = "round"  # clients train from the newest weights
    COMBINE = "combine"  # the quorum is there, the rule makes the next weights
    TEST = "test"  # all rounds are done; the final weights are evaluated
    DONE = "done"


@dataclass(slots=True)
class State:
    """All that `Federation` remembers; JSON by msgspec."""

    phase: Phase = Phase.BEGIN
    version: int = 0  # finished rounds
    next_id: int = 0
    asked_aside: bool = False  # the one-off work of this phase is out
    begun: int = 0  # pieces of the first work that are not in yet
    attempt: int = 0  # how often every client of this round failed
    weights: Ref = NONE
    server: Ref = NONE  # what the rule remembers
    partition: Ref = NONE
    memory: dict[str, Ref] = field(default_factory=dict)  # client -> what it remembers
    homes: dict[str, str] = field(default_factory=dict)  # simulated client -> the worker that had it last
    asked: dict[str, None] = field(default_factory=dict)  # clients of this round
    out: dict[int, str] = field(default_factory=dict)  # work id -> client
    sent: list[Sent] = field(default_factory=list)  # counted, in order of work id
    signals: dict[str, float] = field(default_factory=dict)
    judging: Judging = field(default_factory=Judging)


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
        state = self._state
        works: list[Work] = []
        if state.phase is Phase.BEGIN and not state.asked_aside:
            works.extend(self._begin())
        elif state.phase is Phase.ROUND:
            works.extend(self._local_update(client) for client in self._drawn(idle))
        elif state.phase is Phase.COMBINE and not state.asked_aside:
            works.append(self._combine())
        works.extend(self._evaluate(inputs, params) for inputs, params in state.judging.parts())
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
            elif told.work.kind == "evaluate":
                rows.extend(self._evaluated(told))
            elif told.work.kind == "combine":
                rows.append(self._combined(told))
            else:
                self._began(told)
        if counted:
            self._quorum_met(counted)
        return rows

    def may_ask(self, worker: str) -> bool:
        state, settings = self._state, self.settings
        if settings.simulated or state.phase is not Phase.ROUND:
            return False
        return worker not in state.asked and len(state.asked) < settings.rounds.asked

    @property
    def finished(self) -> bool:
        return self._state.phase is Phase.DONE

    @property
    def model(self) -> Model | None:
        return Model(self._state.weights, self.settings.model) if self._state.weights else None

    @property
    def partition(self) -> Ref:
        """Of simulated clients, who has which samples (kind "partition"); "" of real ones."""
        return self._state.partition

    @property
    def signals(self) -> Mapping[str, float]:
        return self._state.signals

    def held(self) -> Iterable[Ref]:
        state = self._state
        held = {state.weights, state.server, state.partition, *state.memory.values(), *state.judging.refs()}
        held.update(ref for sent in state.sent for ref in sent.refs())
        if self.settings.started and not state.weights:
            held.add(START)
        return held - {NONE}

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)

    # -- asking -----------------------------------------------------------------------------------------------------

    def _work(
        self, kind: str, inputs: Mapping[str, Ref], params: Mapping[str, Json], place: Place, counts: Counts
    ) -> Work:
        """Round 0 makes the first weights, round n makes version n."""
        state = self._state
        round_ = 0 if state.phase is Phase.BEGIN else state.version + 1
        params = {"model": self.settings.model, **params}
        lasting = kind == "local_update" and not self.settings.simulated
        work = Work(state.next_id, round_, kind, inputs, params, place, counts, lasting=lasting)
        state.next_id += 1
        return work

    def _begin(self) -> Iterable[Work]:
        state, place = self._state, Place(role=AGGREGATOR)
        state.asked_aside, state.begun = True, 1 + self.settings.simulated
        yield self._work("init", {"given": START} if self.settings.started else {}, {}, place, Counts.REQUIRED)
        if self.settings.simulated:
            yield self._work("partition", {}, {"partition": self.settings.partition}, place, Counts.REQUIRED)

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
        random = Random(f"{settings.seed} clients of round {state.version + 1}, attempt {state.attempt}")
        drawn = random.sample(candidates, wanted)
        state.asked.update(dict.fromkeys(drawn))
        return drawn

    def _local_update(self, client: str) -> Work:
        state, settings = self._state, self.settings
        inputs = {"weights": state.weights}
        if settings.control:
            inputs |= {"server": state.server, "client": state.memory.get(client, NONE)}
        state.out[state.next_id] = client
        place = Place(prefer=state.homes.get(client, "")) if settings.simulated else Place(worker=client)
        params = local_params(settings, client, state.version)
        given = {name: ref for name, ref in inputs.items() if ref}
        return self._work("local_update", given, params, place, Counts.QUORUM)

    def _combine(self) -> Work:
        state = self._state
        state.asked_aside = True
        inputs = combine_inputs(state.sent, state.weights, state.server)
        params = combine_params(self.settings, state.sent, state.version)
        return self._work("combine", inputs, params, Place(role=AGGREGATOR), Counts.REQUIRED)

    def _evaluate(self, inputs: Mapping[str, Ref], params: Mapping[str, Json]) -> Work:
        """On whoever is free at the end, if these are processes of ours; a client's test data are its own."""
        everywhere = self._state.phase is Phase.TEST and self.settings.simulated
        place = Place() if everywhere else Place(role=AGGREGATOR)
        return self._work("evaluate", inputs, params, place, Counts.ASIDE)

    # -- being told -------------------------------------------------------------------------------------------------

    def _began(self, told: Told) -> None:
        state, result = self._state, told.result
        if told.work.kind == "init":
            state.weights = result.outputs["weights"]
            splits = ("train", "validation", "test")
            state.judging.samples = {split: int(result.metrics[f"{split}_samples"]) for split in splits}
        else:
            state.partition = result.outputs["partition"]
        state.begun -= 1
        if not state.begun:
            self._open()

    def _open(self) -> None:
        """The next round, from the newest weights."""
        state = self._state
        state.phase, state.asked_aside, state.attempt = Phase.ROUND, False, 0
        state.asked.clear()

    def _failed(self, told: Told, failure: Failure) -> None:
        state = self._state
        client = state.out.pop(told.work.id, None)
        if client is None or state.phase is not Phase.ROUND:
            return  # its round is over
        if not self.settings.simulated and failure.cause in COMES_BACK:
            state.asked.pop(client, None)  # it may try again; another cause it would only repeat, thousands of times
        if state.out:
            return
        state.asked.clear()
        state.attempt += failure.cause is not Cause.PREEMPTED
        if state.attempt >= ATTEMPTS:
            reason = f"every client that was asked in round {state.version + 1} failed, {ATTEMPTS} times over"
            raise RunFailed(f"{reason}; the last: {failure.cause}: {failure.message}", traceback=failure.traceback)

    def _quorum_met(self, counted: Sequence[Told]) -> None:
        state = self._state
        for told in sorted(counted, key=lambda told: told.work.id):
            client, outputs = str(told.work.params["client"]), told.result.outputs
            state.sent.append(
                Sent(
                    told.work.id,
                    client,
                    state.version,
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
        state.phase = Phase.COMBINE

    def _combined(self, told: Told) -> Row:
        state, rounds = self._state, self.settings.rounds
        outputs, metrics = told.result.outputs, told.result.metrics
        state.weights, state.server = outputs["weights"], outputs.get("server", NONE)
        state.version += 1
        state.signals = dict(gradient_signals(state.sent, metrics))
        row = Row(state.version, figures(state.version, state.sent, metrics))
        state.sent = []
        if state.version >= rounds.rounds:
            more = state.judging.begin("test", state.version, state.weights)
            state.phase = Phase.TEST if more else Phase.DONE
        else:
            self._open()
            if state.version % rounds.evaluate_every == 0:
                state.judging.begin("validation", state.version, state.weights)
        return row

    def _evaluated(self, told: Told) -> Sequence[Row]:
        complete = self._state.judging.told(told)
        if complete is None:
            return ()
        if complete.split == "test":
            self._state.phase = Phase.DONE
        return [Row(complete.step, complete.metrics())]
