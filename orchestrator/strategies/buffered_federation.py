"""Federated learning without a barrier: clients come and go, and every M updates make new weights (FedBuff)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from orchestrator.errors import RunFailed
from orchestrator.protocols import Idle
from orchestrator.records import AGGREGATOR, Cause, Counts, Failure, Json, Late, Model, Place, Ref, Row, Told, Work
from orchestrator.strategies.federated import (
    COMES_BACK,
    NONE,
    FederationSettings,
    Sent,
    combine_inputs,
    combine_params,
    figures,
    local_params,
)
from orchestrator.strategies.question import Question
from orchestrator.strategies.versions import Phase, Versions

ENDLESS = 1  # the one round of all local updates; version n is made in round ENDLESS + n
FAILURES = 12  # in a row, of clients, then the run ends


@dataclass(slots=True)
class State:
    """All that `BufferedFederation` remembers; JSON by msgspec."""

    versions: Versions = field(default_factory=Versions)
    next_id: int = 0
    asks: int = 0  # clients drawn so far
    failures: int = 0  # of clients since an update came in
    resting: dict[str, None] = field(default_factory=dict)  # sites that failed since the last version
    out: dict[int, tuple[str, int]] = field(default_factory=dict)  # work id -> client, version it started from
    buffer: list[Sent] = field(default_factory=list)  # in order of arrival
    combining: list[Sent] = field(default_factory=list)  # what the rule is at, in order of work id
    too_stale: int = 0  # updates left out since the last version


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
        works = [self._work(question, 0) for question in state.versions.questions(self.settings)]
        if state.versions.phase is Phase.OPEN:
            if not state.combining and self._enough(idle):
                works.append(self._work(self._combine(), ENDLESS + state.versions.number + 1))
            works.extend(self._work(self._local_update(client), ENDLESS) for client in self._drawn(idle))
        return works

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        rows: list[Row] = []
        for told in results:
            if told.work.kind == "local_update":
                self._came_back(told)
            elif told.work.kind == "combine":
                rows.append(self._combined(told))
            else:
                rows.extend(self._state.versions.told(told))
        return rows

    def may_ask(self, worker: str) -> bool:
        return False  # the endless round waits for one result, and that is out

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
        return {}

    def held(self) -> Iterable[Ref]:
        state = self._state
        held = {*state.versions.refs(self.settings)}
        held.update(ref for sent in (*state.buffer, *state.combining) for ref in sent.refs())
        return held - {NONE}

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state, str_keys=True)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State, strict=False)

    # -- asking -----------------------------------------------------------------------------------------------------

    def _work(self, question: Question, round_: int) -> Work:
        state = self._state
        lasting = question.kind == "local_update" and not self.settings.simulated
        kept = question._replace(late=Late.KEEP)
        work = kept.numbered(state.next_id, round_, self.settings.model, lasting=lasting)
        state.next_id += 1
        return work

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
        random = Random(f"{settings.seed} clients from draw {state.asks}")
        drawn = random.sample(candidates, min(wanted, len(candidates)))
        state.asks += len(drawn)
        return drawn

    def _local_update(self, client: str) -> Question:
        state, settings = self._state, self.settings
        state.out[state.next_id] = (client, state.versions.number)
        place = Place() if settings.simulated else Place(worker=client)
        params = local_params(settings, client, state.versions.number)
        return Question("local_update", {"weights": state.versions.weights}, params, place, Counts.QUORUM)

    def _combine(self) -> Question:
        """The updates that came first."""
        state, needed = self._state, self.settings.rounds.needed
        first, state.buffer = state.buffer[:needed], state.buffer[needed:]
        state.combining = sorted(first, key=lambda sent: sent.work_id)
        inputs = combine_inputs(state.combining, state.versions.weights, NONE)
        params = combine_params(self.settings, state.combining, state.versions.number)
        return Question("combine", inputs, params, Place(role=AGGREGATOR), Counts.REQUIRED)

    # -- being told -------------------------------------------------------------------------------------------------

    def _came_back(self, told: Told) -> None:
        state, failure = self._state, told.result.failure
        client, version = state.out.pop(told.work.id)
        if failure is not None:
            self._failed(client, failure)
            return
        state.failures = 0
        if state.versions.number - version > self.max_staleness:
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
        state = self._state
        state.versions.made(told, self.settings)
        metrics = {**told.result.metrics, "too_stale": float(state.too_stale)}
        row = Row(state.versions.number, figures(state.versions.number, state.combining, metrics))
        state.combining, state.too_stale = [], 0
        state.resting.clear()
        return row
