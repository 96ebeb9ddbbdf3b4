"""The pool of real workers: each dials in, takes what it is given through its stream, and answers there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from math import isfinite
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple, TypeAlias

import structlog

from cluster.launchers import Launcher, Member
from cluster.sessions import Peer, SessionServer, Sites
from cluster.shared_memory import SharedFolder
from orchestrator.records import (
    Assignment,
    Cause,
    Event,
    Failure,
    Joined,
    Left,
    Ref,
    Result,
    Wake,
    Work,
)
from protos import ripieno_pb2 as pb

log = structlog.get_logger(__name__)

Key: TypeAlias = tuple[int, int]  # work id, attempt

Inspect: TypeAlias = Callable[[Work, Result], str]
"""What is wrong with a site's answer, its values included; "" if nothing is."""

PATIENCE = 20.0
"""How many times the longest so far a piece of work may take before it counts as hung."""

LEAST_DEADLINE_S = 60.0
"""Below this nothing counts as hung, however quick its kind has been so far."""


# What the server and the launcher tell, from their threads to the driver's; None: interrupted.
class Came(NamedTuple):
    peer: Peer


class Went(NamedTuple):
    peer: Peer
    reason: str


class Answered(NamedTuple):
    peer: Peer
    result: Result


News: TypeAlias = Came | Went | Answered | None


class RemotePool:
    """Workers in processes of their own, on this host and, if `host` is given, on others.

    A worker is present from its hello until its stream breaks for good or its launcher says that it died, whichever
    comes first; then each of its assignments fails as LOST_WORKER, or LOST_NODE, and it has Left. Behind a broken TCP
    stream it is waited for (sessions.server.GRACE_S): if it comes back in time nothing is lost and nothing is reported.
    Later, or as a new process, it Joins anew. It is not present twice: the latest process of a name counts. A launched
    one whose work runs into its time-out hangs: its process is ended, and it has Left for TIMEOUT.

    Values go through the shared folder, or, to workers that cannot reach it, through their streams.

    Threads: as `Pool` says; `died` may be called from any.

    Args:
        folder: of the run's `SharedFolder`, which the engine has made and closes after this pool. The inputs of all
            work must be in it.
        heartbeat_s: > 0; a stopped or cut-off worker is noticed after 1 to 1.5 of these.
        hard_deadline_s: > 0; work without a time-out of its own fails as TIMEOUT after it. None: learnt, PATIENCE times
            the longest that work of its kind has taken so far, and LEAST_DEADLINE_S at the least.
        host: by which other hosts reach this one; "": only workers of this host are served.
        sites: who may dial in besides, unlaunched; None: nobody. inspect: looks at their answers before they count; on
            the driver's thread.
    Raises:
        OSError: it cannot listen.
    """

    def __init__(
        self,
        run: str,
        folder: Path,
        *,
        heartbeat_s: float = 2.0,
        hard_deadline_s: float | None = None,
        host: str = "",
        sites: Sites | None = None,
        inspect: Inspect = lambda work, result: "",
    ) -> None:
        self._hard_deadline_s, self._inspect = hard_deadline_s, inspect
        self._zero_s = monotonic()
        self._news: SimpleQueue[News] = SimpleQueue()
        self._first: list[Event] = []
        self._peers: dict[str, Peer] = {}
        self._outstanding: dict[Key, Assignment] = {}
        self._given_s: dict[Key, float] = {}  # when, for each of them
        self._cancelled: set[Key] = set()  # of them
        self._due: list[tuple[float, Key]] = []  # a heap; of attempts that have ended too, until they come up
        self._longest_s: dict[str, float] = {}  # by kind of work, by the workers' clocks
        self._values = SharedFolder(folder, create=False)
        self._launcher: Launcher | None = None
        self._server = SessionServer(run, folder, self, heartbeat_s=heartbeat_s, host=host, sites=sites)
        self.door, self.sites_at = self._server.door, self._server.sites_at

    def launch(self, launcher: Launcher, members: Sequence[Member]) -> None:
        """Starts workers, which are told of `self.door`; the launcher is this pool's to close. Called once at most."""
        self._launcher = launcher
        launcher.start(members, self)

    def submit(self, assignments: Sequence[Assignment]) -> None:
        batches: dict[str, list[pb.Assignment]] = {}
        now_s = self._now_s()
        for assignment in assignments:
            work, worker, attempt = assignment
            key = (work.id, attempt)
            self._outstanding[key] = assignment
            self._given_s[key] = now_s
            timeout_s = work.timeout_s or self._hard_deadline_s or self._learnt_s(work.kind)
            if timeout_s is not None:
                heappush(self._due, (now_s + timeout_s, key))
            batches.setdefault(worker, []).append(_message(assignment))
        for worker, batch in batches.items():
            self._peers[worker].assign(batch)

    def cancel(self, work_ids: Sequence[int]) -> None:
        wanted = set(work_ids)
        for key, assignment in self._outstanding.items():
            if key[0] in wanted:
                self._cancelled.add(key)
                self._peers[assignment.worker].cancel([key])

    def wait(self, deadline_s: float | None) -> Wake:
        events, self._first = self._first, []
        interrupted = False
        while not events and not interrupted:
            for news in self._arrived(deadline_s):
                if news is None:
                    interrupted = True
                else:
                    events.extend(self._told(news))
            events.extend(self._overdue())
            if deadline_s is not None and self._now_s() >= deadline_s:
                break
        return Wake(self._now_s(), tuple(events))

    def reconcile(
        self, outstanding: Sequence[Assignment], present: Sequence[str], wakes_seen: int, now_s: float
    ) -> None:
        """Its workers end with their engine, so a resume always has a new pool; those that dial in are newcomers."""
        self._zero_s = monotonic() - now_s
        gone = Failure(Cause.PREEMPTED, "its pool ended with the engine")
        self._first = [self._failed(assignment, gone) for assignment in outstanding]
        self._first += [Left(worker, Cause.PREEMPTED) for worker in present]

    def interrupt(self) -> None:
        self._news.put(None)  # SimpleQueue.put may be called from a signal handler

    def close(self) -> None:
        """Says goodbye to all workers, then ends what was launched. Takes a few seconds at most."""
        self._server.close()
        if self._launcher is not None:
            self._launcher.close()

    def died(self, member: str, reason: str) -> None:
        """The launcher's: a worker's process has ended."""
        self._server.dismiss(member, f"its process {reason}")

    def joined(self, peer: Peer) -> None:
        """The server's, on its thread, as the two below."""
        self._news.put(Came(peer))

    def answered(self, peer: Peer, result: pb.Result, damage: str) -> None:
        self._news.put(Answered(peer, _result(peer.worker, result, damage, self._now_s())))

    def gone(self, peer: Peer, reason: str) -> None:
        self._news.put(Went(peer, reason))

    def _arrived(self, deadline_s: float | None) -> list[News]:
        """All news there is; waits for some until the deadline, or until the first work is overdue."""
        while self._due and self._due[0][1] not in self._outstanding:
            heappop(self._due)
        ends_s = [*(due_s for due_s, _ in self._due[:1]), *(() if deadline_s is None else (deadline_s,))]
        news: list[News] = []
        with suppress(Empty):
            news.append(self._news.get(timeout=max(0.0, min(ends_s) - self._now_s()) if ends_s else None))
            while True:
                news.append(self._news.get_nowait())
        return news

    def _told(self, news: Came | Went | Answered) -> list[Event]:
        peer = news.peer
        if isinstance(news, Came):
            log.info("worker_joined", worker=peer.worker, role=peer.role, shares_memory=peer.shares)
            self._peers[peer.worker] = peer
            return [Joined(peer.worker, peer.slots, peer.role, peer.labels)]
        if isinstance(news, Went):
            if self._peers.get(peer.worker) is not peer:
                return []  # its process was ended before
            on_lost_node = not peer.site and self._launcher is not None and self._launcher.lost_node(peer.worker)
            return self._left(peer.worker, Cause.LOST_NODE if on_lost_node else Cause.LOST_WORKER, news.reason)
        result = news.result
        key = (result.work_id, result.attempt)
        if key not in self._outstanding:
            return []  # it was given up before
        work = self._outstanding[key].work
        if peer.site:
            result = self._inspected(work, result)
        self._forget(key)
        self._longest_s[work.kind] = max(self._longest_s.get(work.kind, 0.0), result.computed_s)
        return [result]

    def _inspected(self, work: Work, result: Result) -> Result:
        """A site's answer, or what is wrong with it: the rest of the run shall not have to doubt it.

        Whatever a site fails of is a bad reply: of another site with other data it says nothing, so it must not end the
        run by the rules for workers that are all alike.
        """
        key = (result.work_id, result.attempt)
        elapsed_s = result.received_s - self._given_s[key]
        computed_s = min(result.computed_s, elapsed_s) if result.computed_s >= 0 else 0.0
        said = result.failure
        if said is not None:
            if said.cause is not Cause.BAD_REPLY and not (said.cause is Cause.CANCELLED and key in self._cancelled):
                said = Failure(Cause.BAD_REPLY, f"{said.cause}: {said.message}", said.traceback)
            return result._replace(metrics={}, computed_s=computed_s, failure=said)
        wrong = self._inspect(work, result) or _unfit(result)
        if not wrong:
            return result._replace(computed_s=computed_s)
        log.warning("answer_refused", worker=result.worker, work=work.id, reason=wrong)
        self._values.remove(result.outputs.values())
        failure = Failure(Cause.BAD_REPLY, f"{result.worker}'s answer is refused: {wrong}")
        return result._replace(outputs={}, metrics={}, computed_s=computed_s, failure=failure)

    def _learnt_s(self, kind: str) -> float | None:
        """None before the first answer of a kind: nobody knows yet what is long."""
        longest_s = self._longest_s.get(kind)
        return None if longest_s is None else max(LEAST_DEADLINE_S, PATIENCE * longest_s)

    def _left(self, worker: str, cause: Cause, reason: str, late: Sequence[int] = ()) -> list[Event]:
        """The ends of its assignments, then its own. What it left of their outputs, and of the work that was late, goes
        too: another worker shall be first again."""
        log.warning("worker_left", worker=worker, cause=cause.value, reason=reason)
        peer = self._peers.pop(worker)
        if peer.shares:
            self._values.abandon(peer.process.hex())
        lost_for = Cause.LOST_NODE if cause is Cause.LOST_NODE else Cause.LOST_WORKER
        failure = Failure(lost_for, f"{worker} is gone: {reason}")
        lost = [assignment for assignment in self._outstanding.values() if assignment.worker == worker]
        ids = {str(work_id) for work_id in (*late, *(assignment.work.id for assignment in lost))}
        self._values.remove([name for name in self._values.names() if name.partition(".")[0] in ids])
        return [*(self._failed(assignment, failure) for assignment in lost), Left(worker, cause)]

    def _overdue(self) -> list[Event]:
        """The ends of work that took too long. Code that hangs is ended only with its process; a worker that nobody
        launched can but be asked to leave it, and what it still says is dropped."""
        now_s = self._now_s()
        late: list[Assignment] = []
        while self._due and self._due[0][0] <= now_s:
            _, key = heappop(self._due)
            if key in self._outstanding:
                late.append(self._outstanding[key])
        events: list[Event] = [self._failed(item, Failure(Cause.TIMEOUT, "no answer in time")) for item in late]
        for work, worker, attempt in late:
            if (peer := self._peers.get(worker)) is None:
                continue  # ended for another piece of work
            if self._launcher is None or peer.site:
                peer.give_up((work.id, attempt))
            else:
                self._launcher.end(worker)
                ids = [other.work.id for other in late if other.worker == worker]
                events += self._left(worker, Cause.TIMEOUT, f"it hung in {work.kind} {work.id}", ids)
        return events

    def _failed(self, assignment: Assignment, failure: Failure) -> Result:
        work, worker, attempt = assignment
        self._forget((work.id, attempt))
        return Result(work.id, attempt, worker, {}, {}, 0.0, self._now_s(), failure)

    def _forget(self, key: Key) -> None:
        self._outstanding.pop(key, None)  # none of another engine's, after a resume
        self._given_s.pop(key, None)
        self._cancelled.discard(key)

    def _now_s(self) -> float:
        return monotonic() - self._zero_s


def _message(assignment: Assignment) -> pb.Assignment:
    work = assignment.work
    return pb.Assignment(
        attempt=pb.Attempt(work_id=work.id, attempt=assignment.attempt),
        round=work.round,
        kind=work.kind,
        inputs=[pb.Input(input=name, value=ref) for name, ref in work.inputs.items()],
        params=json.dumps(work.params, separators=(",", ":")).encode(),
    )


def _result(worker: str, result: pb.Result, damage: str, received_s: float) -> Result:
    """What a worker says, as a record; values that did not arrive make it a failure."""
    attempt = result.attempt
    failure = Failure(Cause.BAD_REPLY, damage) if damage else _failure(result)
    outputs = {} if failure else {name: Ref(ref) for name, ref in result.outputs.items()}
    metrics = {} if damage else dict(result.metrics)
    return Result(attempt.work_id, attempt.attempt, worker, outputs, metrics, result.computed_s, received_s, failure)


def _failure(result: pb.Result) -> Failure | None:
    if not result.HasField("failure"):
        return None
    said = result.failure
    try:
        return Failure(Cause(said.cause), said.message, said.traceback)
    except ValueError:
        return Failure(Cause.BAD_REPLY, f"it failed for a cause that nobody knows, {said.cause!r}: {said.message}")


def _unfit(result: Result) -> str:
    """Figures that are none would end as such in whatever is made of them."""
    return ", ".join(f"its {name} is {value}" for name, value in result.metrics.items() if not isfinite(value))
