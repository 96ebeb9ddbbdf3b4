"""Federated learning without a barrier: clients come and go, and every M updates make new weights (FedBuff)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import AGGREGATOR, Cause, Counts, Failure, Json, Late, Model, Place, Ref, Row, Told, Work
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
    local_params,
)

ENDLESS = 1  # the one round of all local updates; version n is made in round ENDLESS + n
FAILURES = 12  # in a row, of clients, then the run ends


class Phase(StrEnum):
    BEGIN = "begin"  # the first weights are being made, and the partition
    OPEN = "open"  # clients train
    TEST = "test"  # all versions are made; the final weights are evaluated
    DONE = "done"


@dataclass(slots=True)
class State:
    """All that `BufferedFederation` remembers; JSON by msgspec."""

    phase: Phase = Phase.BEGIN
    version: int = 0
    next_id: int = 0
    begun: int = 0  # pieces of the first work that are not in yet
    asks: int = 0  # clients drawn so far
    failures: int = 0  # of clients since an update came in
    resting: dict[str, None] = field(default_factory=dict)  # sites that failed since the last version
    weights: Ref = NONE
    partition: Ref = NONE
    out: dict[int, tuple[str, int]] = field(default_factory=dict)  # work id -> client, version it started from
    buffer: list[Sent] = field(default_factory=list)  # in order of arrival
    combining: list[Sent] = field(default_factory=list)  # what the combination that is out is made of
    combination: int = -1  # its work id
    too_stale: int = 0  # updates left out since the last version
    judging: Judging = field(default_factory=Judging)


class BufferedFederation:
    """The strategy of `federate` with FedBuff: `asked` clients are out at a time, `needed` updates make a version.

    Whoever comes back is replaced at once by a client, drawn from the seed among those that are neither out nor in the
    buffer; it starts from the newest weights, and what it sends counts less the more versions were made meanwhile.
    All local updates belong to one endless round: ask it with the quorum `first`.
    Holds: a buffer has at most one update of each client. An update more than `max_staleness` versions old is left out.
    Exact: a function of the order of arrival, which the journal has; the rule sums in order of work id.
    """

    def __init__(self, settings: FederationSettings, max_staleness: int = 20) -> None:
        self.settings = settings
        self.max_staleness = max_staleness
        self._state = State()

    def ask(self, idle: Idle) -> Sequence[Work]:
        state = self._state
        works: list[Work] = []
        if state.phase is Phase.BEGIN and not state.begun:
            works.extend(self._begin())
        elif state.phase is Phase.OPEN:
            if state.combination < 0 and self._enough(idle):
                works.append(self._combine())
            works.extend(self._local_update(client) for client in self._drawn(idle))
        works.extend(self._evaluate(inputs, params) for inputs, params in state.judging.parts())
        return works

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        rows: list[Row] = []
        for told in results:
            if told.work.kind == "local_update":
                self._came_back(told)
            elif told.work.kind == "evaluate":
                rows.extend(self._evaluated(told))
            elif told.work.kind == "combine":
                rows.append(self._combined(told))
            else:
                self._began(told)
        return rows

    def may_ask(self, worker: str) -> bool:
        return False  # the endless round waits for one result, and that is out

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
        return {}

    def held(self) -> Iterable[Ref]:
        state = self._state
        held = {state.weights, state.partition, *state.judging.refs()}
        held.update(ref for sent in (*state.buffer, *state.combining) for ref in sent.refs())
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
        self, round_: int, kind: str, inputs: Mapping[str, Ref], params: Mapping[str, Json], place: Place
    ) -> Work:
        state = self._state
        counts = {"local_update": Counts.QUORUM, "evaluate": Counts.ASIDE}.get(kind, Counts.REQUIRED)
        lasting = kind == "local_update" and not self.settings.simulated
        params = {"model": self.settings.model, **params}
        work = Work(state.next_id, round_, kind, inputs, params, place, counts, Late.KEEP, lasting=lasting)
        state.next_id += 1
        return work

    def _begin(self) -> Iterable[Work]:
        state, place = self._state, Place(role=AGGREGATOR)
        state.begun = 1 + self.settings.simulated
        yield self._work(0, "init", {"given": START} if self.settings.started else {}, {}, place)
        if self.settings.simulated:
            yield self._work(0, "partition", {}, {"partition": self.settings.partition}, place)

    def _enough(self, idle: Idle) -> bool:
        """Whether the buffer is full, or holds all that can come: everybody is in it."""
        state = self._state
        if len(state.buffer) >= self.settings.rounds.needed:
            return True
        return bool(state.buffer) and not state.out and not self._candidates(idle)

    def _candidates(self, idle: Idle) -> Sequence[str]:
        state, settings = self._state, self.settings
        busy = {client for client, _ in state.out.values()} | {sent.client for sent in state.buffer} | {*state.resting}
        clients = (str(number) for number in range(settings.population)) if settings.simulated else sorted(idle)
        return [client for client in clients if client not in busy]

    def _drawn(self, idle: Idle) -> Sequence[str]:
        """Clients to ask now; each draw has a number."""
        state, settings = self._state, self.settings
        wanted = settings.rounds.asked - len(state.out)
        if wanted <= 0 or (not settings.simulated and not state.asks and len(idle) < settings.min_workers):
            return ()
        candidates = self._candidates(idle)
        drawn = Random(f"{settings.seed} clients from draw {state.asks}").sample(
            candidates, min(wanted, len(candidates))
        )
        state.asks += len(drawn)
        return drawn

    def _local_update(self, client: str) -> Work:
        state, settings = self._state, self.settings
        state.out[state.next_id] = (client, state.version)
        place = Place() if settings.simulated else Place(worker=client)
        params = local_params(settings, client, state.version)
        return self._work(ENDLESS, "local_update", {"weights": state.weights}, params, place)

    def _combine(self) -> Work:
        """The updates that came first."""
        state, needed = self._state, self.settings.rounds.needed
        state.combining, state.buffer = sorted(state.buffer[:needed], key=_work_id), state.buffer[needed:]
        state.combination = state.next_id
        inputs = combine_inputs(state.combining, state.weights, NONE)
        params = combine_params(self.settings, state.combining, state.version)
        return self._work(ENDLESS + state.version + 1, "combine", inputs, params, Place(role=AGGREGATOR))

    def _evaluate(self, inputs: Mapping[str, Ref], params: Mapping[str, Json]) -> Work:
        everywhere = self._state.phase is Phase.TEST and self.settings.simulated
        place = Place() if everywhere else Place(role=AGGREGATOR)
        return self._work(ENDLESS, "evaluate", inputs, params, place)

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
            state.phase = Phase.OPEN

    def _came_back(self, told: Told) -> None:
        state, failure = self._state, told.result.failure
        client, version = state.out.pop(told.work.id)
        if failure is not None:
            self._failed(client, failure)
            return
        state.failures = 0
        if state.version - version > self.max_staleness:
            state.too_stale += 1
            return
        update, base = told.result.outputs["update"], told.work.inputs["weights"]
        state.buffer.append(Sent(told.work.id, client, version, update, base, dict(told.result.metrics)))

    def _failed(self, client: str, failure: Failure) -> None:
        state = self._state
        state.failures += failure.cause is not Cause.PREEMPTED
        if not self.settings.simulated and failure.cause not in COMES_BACK:
            state.resting[client] = None  # else it would be asked, and fail, again and again while others train
        if not state.out and not state.buffer:
            state.resting.clear()  # nobody else would bring the next version
        if state.failures >= FAILURES:
            reason = f"{FAILURES} clients in a row failed, the last, {client}, with {failure.cause}"
            raise RunFailed(f"{reason}: {failure.message}", traceback=failure.traceback)

    def _combined(self, told: Told) -> Row:
        state, rounds = self._state, self.settings.rounds
        state.weights = told.result.outputs["weights"]
        state.version += 1
        row = Row(
            state.version,
            {**figures(state.version, state.combining, told.result.metrics), "too_stale": float(state.too_stale)},
        )
        state.combining, state.combination, state.too_stale = [], -1, 0
        state.resting.clear()
        if state.version >= rounds.rounds:
            more = state.judging.begin("test", state.version, state.weights)
            state.phase = Phase.TEST if more else Phase.DONE
        elif state.version % rounds.evaluate_every == 0:
            state.judging.begin("validation", state.version, state.weights)
        return row

    def _evaluated(self, told: Told) -> Sequence[Row]:
        complete = self._state.judging.told(told)
        if complete is None:
            return ()
        if complete.split == "test":
            self._state.phase = Phase.DONE
        return [Row(complete.step, complete.metrics())]


def _work_id(sent: Sent) -> int:
    return sent.work_id
