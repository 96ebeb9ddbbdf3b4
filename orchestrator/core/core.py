"""The engine's whole logic as one pure state machine: a wake in, actions out. No clock, no I/O, no verb."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from hashlib import sha256
from math import inf
from typing import Any

import msgspec

from orchestrator.core.history import History, InFlight
from orchestrator.core.placement import Flight, Pending, Placement
from orchestrator.core.rounds import Round
from orchestrator.errors import RunFailed
from orchestrator.failures import RETRIES, Troubles
from orchestrator.protocols import Quorum, Strategy
from orchestrator.records import (
    ANY,
    WORKER,
    Actions,
    Assignment,
    Cause,
    Closed,
    Counts,
    Decided,
    Evidence,
    Failure,
    Joined,
    Json,
    Late,
    Left,
    Ref,
    Result,
    Row,
    Told,
    Wake,
    Work,
)

GRACE_S = 30.0  # for the last worker to come up after the first
STALLED = "nothing is outstanding, the strategy asks for nothing and is not finished"
ASKS_PER_WAKE = 1000  # a strategy that goes on asking for work that cannot be placed is our mistake, not patience


class Core:
    """Places work on workers, counts the quorum, retries by the table of failures, knows which references are needed.

    Equal wakes give equal actions: replaying a journal through a new Core is resume, is replay, is the explanation.

    Args:
        seed: handed to the quorum in `Evidence.seed`.
        min_workers: >= 1; with fewer connected no quorum is asked and no round closes.
        patience_s: > 0; how long that may last before the run fails.
        workers: as many are expected; until all have been there, or for GRACE_S after the first, min_workers is that.
    """

    def __init__(
        self,
        strategy: Strategy,
        quorum: Quorum,
        *,
        seed: int = 0,
        min_workers: int = 1,
        patience_s: float = 60.0,
        workers: int = 0,
    ) -> None:
        self.strategy, self.quorum = strategy, quorum
        self.wakes = 0  # handled so far
        self.now_s = 0.0
        self.repeats = 0  # results dropped because their attempt was not outstanding
        self.decisions = ""  # hash over all decisions so far: equal on replay
        self._seed, self._min_workers, self._patience_s = seed, min_workers, patience_s
        self._expected = workers
        self._grace_ends_s = inf  # until the first worker joined
        self._short = True  # of workers, as of the latest wake
        self._placement = Placement()
        self._history = History()
        self._troubles = Troubles()
        self._rounds: dict[int, Round] = {}
        self._memory: Json = None
        self._waited_for = 0  # by the last round that was met
        self._missing_since: float | None = 0.0  # nobody is there yet
        self._story: deque[tuple[Any, ...]] = deque(maxlen=20)
        self._due: list[Told] = []
        self._begin()

    def handle(self, wake: Wake) -> Actions:
        """Takes one wake and says what to do now. Raises RunFailed, again at the same wake on replay."""
        self._begin()
        assert wake.now_s >= self.now_s, "the pool's clock fell"
        self.now_s = wake.now_s
        for event in wake.events:
            if isinstance(event, Result):
                self._take(event)
            elif isinstance(event, Joined):
                self._join(event)
            else:
                self._leave(event)
        self._short = self._too_few()
        self._settle()
        for _ in range(ASKS_PER_WAKE):
            if self._due:
                due, self._due = self._due, []
                self._told.extend(due)
                self._rows.extend(self.strategy.tell(due))
            for work in self.strategy.ask(self._placement.idle):
                self._accept(work)
            self._placement.idle.fresh.clear()
            self._assign()
            self._settle(asked=True)
            if not self._due:
                break
        else:
            raise self._failed("the strategy asks for work that cannot be placed, over and over")
        self._close_rounds()
        waiting = ""
        if not self.strategy.finished:
            waiting = self._waiting()
            if not waiting and not self._placement.flights:
                raise self._failed(self._troubles.stalled() or STALLED)
        self.wakes += 1
        return Actions(self._submit, self._cancel, self._told, self._rows, self._decided, self._closed, waiting)

    @property
    def finished(self) -> bool:
        return self.strategy.finished

    @property
    def deadline_s(self) -> float | None:
        """When the core wants to be woken though nothing happened, on the pool's clock."""
        earliest_s = inf
        for round_ in self._rounds.values():
            decision = round_.decision
            if decision is not None and decision.deadline_s is not None and round_.open:
                earliest_s = min(earliest_s, decision.deadline_s if decision.deadline_s > self.now_s else inf)
        if self._missing_since is not None:
            for deadline_s in (self._missing_since + self._patience_s, self._grace_ends_s):
                earliest_s = min(earliest_s, deadline_s if deadline_s > self.now_s else inf)
        return earliest_s if earliest_s < inf else None

    @property
    def outstanding(self) -> list[Assignment]:
        return self._placement.outstanding()

    @property
    def interrupted(self) -> list[int]:
        """Ids of work that is out, though its round is over and it was cancelled: a resume tells the pool again."""
        flights = self._placement.flights.values()
        late = (flight.work for flight in flights if flight.work.late is Late.INTERRUPT)
        return sorted(work.id for work in late if work.counts is Counts.QUORUM and self._awaiting(work) is None)

    @property
    def present(self) -> list[str]:
        """All connected workers, whatever their role."""
        return list(self._placement.workers)

    def lasting(self, wake: Wake) -> list[Ref]:
        """Of the values that a wake brings, before it is handled, those that could not be made again."""
        flights = self._placement.flights
        answered = ((event, flights.get(event.work_id)) for event in wake.events if isinstance(event, Result))
        return [
            ref
            for result, flight in answered
            if flight is not None and flight.work.lasting and flight.attempt == result.attempt
            for ref in result.outputs.values()
        ]

    def unfinished(self) -> Iterator[Work]:
        """Work that is out, waits for a slot, or was answered but not told yet."""
        for flight in self._placement.flights.values():
            yield flight.work
        for pending in self._placement.queued():
            yield pending.work
        for told in self._untold():
            yield told.work

    def roots(self) -> set[Ref]:
        """References from which all that is still needed can be made: the strategy's, and inputs of unfinished work."""
        roots = set(self.strategy.held())
        for work in self.unfinished():
            roots.update(work.inputs.values())
        return roots

    def held(self) -> set[Ref]:
        """All references that may still be used: `roots`, and outputs not yet told. O(outstanding work)."""
        held = self.roots()
        for told in self._untold():
            held.update(told.result.outputs.values())
        return held

    # -- events -----------------------------------------------------------------------------------------------------

    def _join(self, joined: Joined) -> None:
        self._story.append((self.now_s, "joined", joined.worker))
        self._placement.join(joined)
        if joined.role == WORKER:
            self._history.joined(joined.worker)
            self._grace_ends_s = min(self._grace_ends_s, self.now_s + min(GRACE_S, self._patience_s / 2))
            if len(self._placement.present[WORKER]) >= self._expected:
                self._grace_ends_s = self.now_s
        self._membership_changed()

    def _leave(self, left: Left) -> None:
        self._story.append((self.now_s, "left", left.worker, left.cause))
        for pending in self._placement.leave(left.worker):
            self._refuse(pending)
        for round_ in self._rounds.values():
            round_.asked.pop(left.worker, None)  # when it is back it may be asked again
        self._history.left(left.worker)
        self._troubles.left(left.worker)
        self._membership_changed()

    def _membership_changed(self) -> None:
        for round_ in self._rounds.values():
            round_.undecided = True

    def _take(self, result: Result) -> None:
        flight = self._placement.flights.get(result.work_id)
        if flight is None or flight.attempt != result.attempt:
            self.repeats += 1
            return
        self._placement.land(flight)
        work = flight.work
        if work.counts is Counts.QUORUM:
            self._history.answered(flight, result.received_s, finished=result.failure is None)
        if result.failure is not None:
            self._take_failure(flight, result, result.failure)
            return
        if self._troubles.any:
            self._troubles.succeeded(result.worker)
        told = Told(work, result, flight.dispatched_s)
        if work.counts is not Counts.QUORUM:
            self._due.append(told)
            if work.counts is Counts.REQUIRED:
                self._rounds[work.round].required -= 1
        elif (round_ := self._awaiting(work)) is not None:
            round_.pending.discard(work.id)
            round_.counted.append(told)
            round_.offsets_s.append(result.received_s - round_.opened_s)
        else:
            self._history.late(work.round, result.received_s)
            if work.late is Late.KEEP:
                self._due.append(told)

    def _take_failure(self, flight: Flight, result: Result, failure: Failure) -> None:
        work, worker = flight.work, flight.worker
        self._story.append((self.now_s, "failed", work.kind, work.id, worker, failure.cause, failure.message))
        if failure.cause is Cause.CANCELLED:
            self._give_up(work)
            return
        reason = self._troubles.failed(worker, failure, self._placement.present[self._placement.workers[worker].role])
        if (Cause.USER_ERROR, failure.message) in flight.history and failure.cause is Cause.USER_ERROR:
            reason = f"{work.kind} {work.id} raised {failure.message} on two workers"
        if reason:
            raise self._failed(reason, failure.traceback)
        if work.counts is Counts.QUORUM and work.late is not Late.KEEP and self._awaiting(work) is None:
            return  # nobody waits for it any more
        rule = RETRIES[failure.cause]
        failures = 1 + sum(cause == failure.cause for cause, _ in flight.history)
        if (rule.attempts is None or failures < rule.attempts) and not (rule.elsewhere and work.place.worker != ANY):
            history = (*flight.history, (failure.cause, failure.message)) if rule.attempts else flight.history
            avoid = worker if rule.elsewhere else ANY
            self._placement.put(Pending(work, flight.attempt + 1, avoid, history), first=True)
        elif work.counts is Counts.REQUIRED:
            raise self._failed(
                f"{work.kind} {work.id} failed for good: {failure.cause}: {failure.message}", failure.traceback
            )
        else:
            self._give_up(work)
            self._due.append(Told(work, result, flight.dispatched_s))

    def _awaiting(self, work: Work) -> Round | None:
        """The round whose quorum this work may still count for."""
        round_ = self._rounds.get(work.round)
        return round_ if round_ is not None and work.id in round_.pending else None

    def _give_up(self, work: Work) -> None:
        if (round_ := self._awaiting(work)) is not None:
            round_.pending.discard(work.id)
            round_.undecided = True

    # -- work -------------------------------------------------------------------------------------------------------

    def _accept(self, work: Work) -> None:
        round_ = self._rounds.get(work.round)
        if round_ is not None and not round_.open and not round_.required and work.counts is Counts.QUORUM:
            self._close(round_)  # an endless round: asked for more, it begins anew
            round_ = None
        if round_ is None and work.counts is not Counts.ASIDE:
            round_ = self._rounds[work.round] = Round(work.round, self.now_s, self._waited_for)
        if round_ is not None and round_.open and work.counts is Counts.QUORUM:
            round_.pending.add(work.id)
        elif round_ is not None and work.counts is Counts.REQUIRED:
            round_.required += 1
        pending = Pending(work)
        if work.place.worker == ANY or work.place.worker in self._placement.workers:
            self._placement.put(pending)
        else:
            self._refuse(pending)

    def _refuse(self, pending: Pending) -> None:
        """Work pinned to a worker that is not there fails at once; if it is REQUIRED the run does."""
        work = pending.work
        if work.counts is Counts.REQUIRED:
            raise self._failed(f"{work.kind} {work.id} is pinned to {work.place.worker}, which left")
        failure = Failure(Cause.LOST_WORKER, f"{work.place.worker} is not connected")
        result = Result(work.id, pending.attempt, work.place.worker, {}, {}, 0.0, self.now_s, failure)
        self._give_up(work)
        self._due.append(Told(work, result, self.now_s))

    def _assign(self) -> None:
        for assignment in self._placement.place(self.now_s):
            work = assignment.work
            round_ = self._rounds.get(work.round)
            if round_ is not None and work.counts is Counts.QUORUM:
                round_.asked[assignment.worker] = None
            self._submit.append(assignment)

    # -- rounds -----------------------------------------------------------------------------------------------------

    def _settle(self, asked: bool = False) -> None:
        """Decides for rounds with news and ends those whose decision is fulfilled.

        asked: the strategy has just been asked, so workers still idle will get no more work of these rounds.
        """
        for round_ in self._rounds.values():
            if self._short or not round_.counted or not round_.open:
                continue
            if round_.undecided:
                self._decide(round_)
            if round_.due(self.now_s) or (asked and not round_.pending and not self._may_grow(round_)):
                self._meet(round_)

    def _may_grow(self, round_: Round) -> bool:
        """Whether somebody may still be asked for a result of a round that has nothing out."""
        return round_.reachable(self._may_be_asked()) > len(round_.counted)

    def _may_be_asked(self) -> Iterator[str]:
        """Of the workers that the strategy will look at again, those that are busy or have just become free, the ones
        that it may ask."""
        placement, may_ask = self._placement, self.strategy.may_ask
        yield from (worker for worker in placement.busy if worker in placement.present[WORKER] and may_ask(worker))
        yield from (worker for worker in placement.idle.fresh if worker in placement.idle and may_ask(worker))

    def _decide(self, round_: Round) -> None:
        present = round_.reachable(self._may_be_asked())
        absent = sum(map(self.strategy.may_ask, self._placement.absent()))
        evidence = Evidence(
            round=round_.number,
            opened_s=round_.opened_s,
            now_s=self.now_s,
            eligible=present + absent,
            present=present,
            arrived=len(round_.counted),
            round_trips=self._history.round_trips,
            arrivals=self._history.arrivals,
            in_flight_s=InFlight(self._placement.busy, self.now_s),
            signals=self.strategy.signals,
            memory=self._memory,
            seed=self._seed,
        )
        decision = self.quorum.decide(evidence)
        assert 1 <= decision.wait_for <= present, (decision, present)
        self._memory = decision.memory
        told = f"{self.decisions} {round_.number} {present} {decision.wait_for} {decision.deadline_s} {decision.why}"
        self.decisions = sha256(told.encode()).hexdigest()
        round_.decision, round_.undecided = decision, False
        round_.eligible, round_.present = evidence.eligible, present
        self._story.append((self.now_s, "decided", round_.number, decision.wait_for, present, decision.why))
        self._decided.append(Decided(round_.number, evidence.eligible, present, len(round_.counted), decision))

    def _meet(self, round_: Round) -> None:
        """The quorum is there: what came is told, what did not is late from now on."""
        round_.met_s = self.now_s
        self._due.extend(round_.counted)
        self._history.met(round_.number, round_.opened_s, round_.waited_for_before, round_.offsets_s)
        self._waited_for = len(round_.counted)
        flights = self._placement.flights
        late = [flights[work_id].work for work_id in sorted(round_.pending & flights.keys())]
        self._cancel.extend(work.id for work in late if work.late is Late.INTERRUPT)
        if len(late) < len(round_.pending):
            queued = (pending.work for pending in self._placement.queued())
            self._placement.drop({work.id for work in queued if work.late is not Late.KEEP} & round_.pending)
        round_.pending.clear()

    def _close_rounds(self) -> None:
        for round_ in list(self._rounds.values()):
            if round_.required:
                continue
            if not round_.open:
                self._close(round_)
            elif not round_.pending and not round_.counted:
                del self._rounds[round_.number]  # only REQUIRED work, all of it done; or nothing is left to wait for

    def _close(self, round_: Round) -> None:
        assert round_.met_s is not None
        assert round_.decision is not None
        del self._rounds[round_.number]
        self._closed.append(
            Closed(
                round_.number,
                round_.opened_s,
                round_.met_s,
                self.now_s,
                round_.decision.wait_for,
                round_.eligible,
                round_.present,
                len(round_.counted),
            )
        )

    # -- membership -------------------------------------------------------------------------------------------------

    def _too_few(self) -> bool:
        return len(self._placement.present[WORKER]) < self._needed

    @property
    def _needed(self) -> int:
        return max(self._expected if self.now_s < self._grace_ends_s else 0, self._min_workers)

    def _waiting(self) -> str:
        """Why the run stands still for want of workers, or "". Raises RunFailed when that has lasted too long."""
        missing = self._missing()
        if not missing:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = self.now_s
        elif self.now_s >= self._missing_since + self._patience_s:
            raise self._failed(f"{missing} for {self._patience_s:g} s")
        return missing

    def _missing(self) -> str:
        if self._short:
            return f"{len(self._placement.present[WORKER])} of at least {self._needed} workers are connected"
        for role, queue in self._placement.waiting.items():
            if queue and not self._placement.present.get(role):
                return f"no {role} is connected"
        return ""

    # -- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> Json:
        """Everything that later wakes depend on, as JSON; between two calls of `handle`."""
        state: Json = msgspec.to_builtins(
            {
                "wakes": self.wakes,
                "now_s": self.now_s,
                "repeats": self.repeats,
                "decisions": self.decisions,
                "memory": self._memory,
                "waited_for": self._waited_for,
                "missing_since": self._missing_since,
                "grace_ends_s": self._grace_ends_s,
                "story": [[str(word) for word in line[1:]] for line in self._story],
                "story_s": [line[0] for line in self._story],
                "troubles": self._troubles,
                "rounds": list(self._rounds.values()),
                "placement": self._placement.state_dict(),
                "history": self._history.state_dict(),
                "strategy": self.strategy.state_dict(),
            }
        )
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.wakes, self.now_s, self.repeats = state["wakes"], state["now_s"], state["repeats"]
        self.decisions = state["decisions"]
        self._memory, self._waited_for = state["memory"], state["waited_for"]
        self._missing_since, self._grace_ends_s = state["missing_since"], state["grace_ends_s"]
        self._story.extend((at_s, *words) for at_s, words in zip(state["story_s"], state["story"], strict=True))
        self._troubles = msgspec.convert(state["troubles"], Troubles)
        rounds = msgspec.convert(state["rounds"], list[Round])
        self._rounds = {round_.number: round_ for round_ in rounds}
        self._placement.load_state_dict(state["placement"])
        self._history.load_state_dict(state["history"])
        self.strategy.load_state_dict(state["strategy"])

    def _begin(self) -> None:
        self._submit: list[Assignment] = []
        self._cancel: list[int] = []
        self._told: list[Told] = []
        self._rows: list[Row] = []
        self._decided: list[Decided] = []
        self._closed: list[Closed] = []

    def _untold(self) -> Iterator[Told]:
        for round_ in self._rounds.values():
            if round_.open:
                yield from round_.counted

    def _failed(self, reason: str, traceback: str = "") -> RunFailed:
        lines = tuple(f"  {line[0]:10.3f} s  " + " ".join(str(word) for word in line[1:]) for line in self._story)
        return RunFailed(reason, ("the last that happened:", *lines), traceback)
