"""The records that pass between strategy, quorum, core, pools and journal: frozen data, no behaviour.

NamedTuples, because one of each is made for every piece of work (four times cheaper than a frozen dataclass).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, NewType, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
else:
    Json = Any  # msgspec reads these annotations, and knows no recursive alias

Ref = NewType("Ref", str)
"""An immutable value, named by who made it: `<work id>.<output>`. Identity, never an address, never reused."""

GIVEN = "given."
"""How references of values begin that were there before the run: `given.<name>`."""

ANY = ""
"""No particular worker."""

WORKER, AGGREGATOR = "worker", "aggregator"
"""Roles of workers. Those of role "worker" are offered as idle and counted; any other role is a queue of its own."""


class Counts(StrEnum):
    """What a result means to its round."""

    QUORUM = "quorum"  # counted by the quorum
    REQUIRED = "required"  # the round cannot close without it
    ASIDE = "aside"  # neither: told as soon as it is in (evaluation)


class Late(StrEnum):
    """What becomes of work whose round closed without it."""

    KEEP = "keep"  # still told
    DROP = "drop"  # only timed
    INTERRUPT = "interrupt"  # cancelled: stopped where the worker next looks


class Cause(StrEnum):
    """Why an attempt failed; `failures.py` says what the core then does."""

    LOST_WORKER = "lost worker"
    LOST_NODE = "lost node"
    PREEMPTED = "preempted"
    TIMEOUT = "timeout"
    USER_ERROR = "user error"
    OUT_OF_MEMORY = "out of memory"
    NON_FINITE = "non-finite"
    BAD_REPLY = "bad reply"
    CANCELLED = "cancelled"


class Place(NamedTuple):
    """Where work may run. `worker`: exactly there. `prefer`: there if it is free now, for warm inputs."""

    worker: str = ANY
    prefer: str = ANY
    role: str = WORKER


class Work(NamedTuple):
    """One question for a worker.

    id: counts up in order of ask; with the run's seed the only source of the work's randomness.
    round: the cohort it belongs to. Asynchronous strategies have one endless round: it closes when its quorum is met
        and begins anew with the next work asked; what is out by then is late, so they ask with KEEP.
    kind: which function of `trainers` answers it ("init", "gradient", "aggregate", "evaluate", …).
    timeout_s: > 0; the pool ends the attempt with TIMEOUT. None: when its own hard deadline passes.
    lasting: its outputs could not be made again, being from somebody else's data: they are kept for good before its
        result is journalled.
    """

    id: int
    round: int
    kind: str
    inputs: Mapping[str, Ref]
    params: Mapping[str, Json]
    place: Place = Place()
    counts: Counts = Counts.QUORUM
    late: Late = Late.DROP
    timeout_s: float | None = None
    lasting: bool = False


class Assignment(NamedTuple):
    """Work with the worker it was given to; attempt counts from 1."""

    work: Work
    worker: str
    attempt: int


class Failure(NamedTuple):
    """Why an attempt has no outputs; traceback: of the user's code, as text, or ""."""

    cause: Cause
    message: str
    traceback: str = ""


class Result(NamedTuple):
    """What a pool reports of one attempt; small, journalled whole.

    computed_s: seconds by the worker's own clock. received_s: the pool's clock when it came in.
    A repeat carries the same (work_id, attempt): the core drops it, as it drops replies of superseded attempts.
    """

    work_id: int
    attempt: int
    worker: str
    outputs: Mapping[str, Ref]
    metrics: Mapping[str, float]
    computed_s: float
    received_s: float
    failure: Failure | None = None


class Joined(NamedTuple):
    """A worker is there and takes `slots` >= 1 pieces of work at a time."""

    worker: str
    slots: int = 1
    role: str = WORKER
    labels: Mapping[str, str] = {}


class Left(NamedTuple):
    """A worker is gone; comes after one failed Result for each of its outstanding assignments."""

    worker: str
    cause: Cause


Event: TypeAlias = Result | Joined | Left


class Wake(NamedTuple):
    """One return of `Pool.wait`: the journal's record and the core's only input. No events: the deadline passed."""

    now_s: float
    events: tuple[Event, ...]


class Told(NamedTuple):
    """A result joined with its work; failed ones are told when nothing more will be tried."""

    work: Work
    result: Result
    dispatched_s: float


class Row(NamedTuple):
    """Figures for the record (tracker, live view), as a strategy returns them from `tell`."""

    step: int
    metrics: Mapping[str, float]


class Model(NamedTuple):
    """A trained model; arguments: what the task's `model()` was called with to make the one that `weights` are of."""

    weights: Ref
    arguments: Mapping[str, Json]


class RoundTrip(NamedTuple):
    """From giving work to a worker until its answer; not finished: it ended early, so its duration is a floor."""

    ended_s: float
    duration_s: float
    finished: bool


class Arrivals(NamedTuple):
    """When the results of one closed round came in, late ones included.

    waited_for_before: what the round before it waited for. offsets_s: seconds since the round's opening, rising.
    """

    waited_for_before: int
    offsets_s: list[float]


class Evidence(NamedTuple):
    """What a quorum may look at; mappings and sequences are live views, valid during `decide` only.

    opened_s: when the round's first work was asked, on the pool's clock.
    eligible: may be asked this round. present: eligible and connected. arrived: results counted so far.
    round_trips: a present worker's last 40. arrivals: the last 50 closed rounds.
    in_flight_s: for each busy worker, how long it has been at it.
    signals: the strategy's, of the last closed step, those it has of: loss (mean over the k results), k, sum_norm2
        (Σ‖gᵢ‖²), norm2 (‖ḡ‖²), change_norm2 (‖ḡ - ḡ before‖²), step_dot_gradient (ḡ·Δ, Δ the step before),
        step_norm2 (‖Δ‖²), learning_rate, momentum, learning_rate_exponent (p of η ∝ k^p).
    memory: what this policy returned last time, None at first.
    """

    round: int
    opened_s: float
    now_s: float
    eligible: int
    present: int
    arrived: int
    round_trips: Mapping[str, Sequence[RoundTrip]]
    arrivals: Sequence[Arrivals]
    in_flight_s: Mapping[str, float]
    signals: Mapping[str, float]
    memory: Json
    seed: int


class Decision(NamedTuple):
    """How many results to wait for, 1 <= wait_for <= present, and why.

    deadline_s: on the pool's clock; then the round closes with what is there, if that is `at_least` results.
    memory: handed back at the next decision, so that `decide` is pure though its policy has a history.
    """

    wait_for: int
    why: str
    deadline_s: float | None = None
    at_least: int = 1
    memory: Json = None


class Decided(NamedTuple):
    """A decision with the three sets it was made over."""

    round: int
    eligible: int
    present: int
    arrived: int
    decision: Decision


class Closed(NamedTuple):
    """A round that ended: what it waited for, what came, and how long it took.

    opened_s, met_s, closed_s: its first work asked; its quorum there; its REQUIRED work done too.
    """

    round: int
    opened_s: float
    met_s: float
    closed_s: float
    wait_for: int
    eligible: int
    present: int
    arrived: int


class Actions(NamedTuple):
    """What the core wants done after a wake, and what it did: all re-derived on replay, none of it journalled."""

    submit: Sequence[Assignment]
    cancel: Sequence[int]
    told: Sequence[Told] = ()
    rows: Sequence[Row] = ()
    decided: Sequence[Decided] = ()
    closed: Sequence[Closed] = ()
    waiting: str = ""  # why no quorum is asked at present: too few workers; "" in the normal case


NOTHING = Actions((), ())
"""After the wake that ends a run."""
