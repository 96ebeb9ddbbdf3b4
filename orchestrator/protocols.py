"""The interfaces of the engine; each has one contract suite under tests/contract/ for all its implementations.

All are called from one thread, the driver's; whatever threads or processes an implementation owns stay behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from orchestrator.records import Actions, Assignment, Decision, Evidence, Json, Model, Ref, Row, Told, Wake, Work

if TYPE_CHECKING:
    from orchestrator.journal.records import Record
    from trainers.tensors import Tensors


class Idle(Protocol):
    """Workers of role "worker" with a free slot: a live view, valid during `ask` only."""

    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __contains__(self, worker: object) -> bool: ...
    def __getitem__(self, worker: str) -> int:
        """Free slots of a worker, >= 1."""

    @property
    def fresh(self) -> Sequence[str]:
        """Who joined or got a slot free since the last `ask`; may name one twice, or one that is no longer idle."""


class Strategy(Protocol):
    """What to do next (ask/tell). Pure: sees references, metrics and names; never a tensor, a clock, a file or Ray."""

    def ask(self, idle: Idle) -> Sequence[Work]:
        """New work, ids counting up by one from 0; called after every wake and every `tell`, also with nobody idle."""

    def tell(self, results: Sequence[Told]) -> Sequence[Row]:
        """All results due since the last tell, in order of arrival: a closed round's, ASIDE and REQUIRED ones at once,
        late KEEP ones, and work that failed for good. Returns figures for the record."""

    def may_ask(self, worker: str) -> bool:
        """Whether this worker may yet be asked, in the open round, for work of the quorum that names its worker.

        True too of one that was asked, if it would be again when its work is lost: the core knows who was, and asks
        this before it has told of a loss.
        """

    @property
    def finished(self) -> bool: ...

    @property
    def model(self) -> Model | None:
        """What the run would hand over now; None: nothing yet."""

    @property
    def signals(self) -> Mapping[str, float]:
        """For the quorum, of the last closed step; see `Evidence.signals`."""

    def held(self) -> Iterable[Ref]:
        """All references it may still use: roots of garbage collection and of snapshots."""

    def state_dict(self) -> Json: ...
    def load_state_dict(self, state: Json) -> None: ...


class Quorum(Protocol):
    """How many results of a round to wait for. Pure: equal evidence, equal decision."""

    def decide(self, evidence: Evidence) -> Decision:
        """Called once a round at its first result, and again when membership changes or work of it is given up; never
        with nobody present. Some of those present may not be asked after all: a round also ends when all is in."""


class Pool(Protocol):
    """A transport of assignments and results, nothing else: the core places, a pool carries."""

    def submit(self, assignments: Sequence[Assignment]) -> None: ...

    def cancel(self, work_ids: Sequence[int]) -> None:
        """Best effort; each assignment still ends in exactly one Result."""

    def wait(self, deadline_s: float | None) -> Wake:
        """All that arrived, at least one event unless the deadline (on this pool's clock) passes; None: no deadline.
        `Wake.now_s` never falls, within a pool and across a resume."""

    def reconcile(
        self, outstanding: Sequence[Assignment], present: Sequence[str], wakes_seen: int, now_s: float
    ) -> None:
        """After a resume: make the pool agree with the journal.

        A pool that survived delivers again every wake after the first `wakes_seen` and submits what of `outstanding`
        it never got. A fresh pool reports each of `outstanding` as PREEMPTED and each of `present` (the workers that
        the journal believes connected) as Left, in one wake that comes before all else.
        now_s: the journal's last time; the clock goes on from there.
        """

    def interrupt(self) -> None:
        """Makes a `wait` that blocks return now, with no events; may be called from a signal handler."""

    def close(self) -> None: ...


class Values(Protocol):
    """Tensors by immutable reference."""

    def put(self, ref: Ref, value: Tensors) -> None:
        """The first wins; the same bytes again are no news. Raises ValueConflict for other bytes under the same ref."""

    def room(self, like: Tensors) -> Tensors:
        """Tensors of these names, shapes and dtypes, with whatever numbers: fill them in, put them as they are, once,
        and do not touch them any more. Such a value is not copied where it can be helped.
        """

    def get(self, ref: Ref) -> Tensors:
        """Not to be written to. Raises ValueMissing."""

    def persist(self, refs: Collection[Ref]) -> None:
        """Makes them survive this machine's processes; each reference is written once."""

    def keep(self, refs: Collection[Ref]) -> None:
        """Persists them for as long as the run's record lasts; `retain` passes them over. The last bytes count."""

    def release(self, refs: Collection[Ref]) -> None:
        """Lets go of these in memory; persisted ones can still be had. Those that are not there are passed over."""

    def retain(self, keep: Collection[Ref]) -> None:
        """Forgets all other persisted ones."""

    def __contains__(self, ref: object) -> bool: ...


class Journal(Protocol):
    """The wakes of a run, in order, and little else. One engine writes it at a time."""

    def append(self, record: Record) -> None:
        """On return it survives SIGKILL of this process; it survives loss of power after the next `sync`."""

    def records(self, since: int = 0) -> Iterator[Record]:
        """Records from position `since` on; positions count from 0."""

    def sync(self) -> None: ...
    def close(self) -> None: ...


class Observer(Protocol):
    """Tracker, live view, metrics. Must return at once, must not raise, never holds the loop."""

    def seen(self, wake: Wake, actions: Actions) -> None:
        """Every wake, the one at which the run failed included, after which there are no actions."""
