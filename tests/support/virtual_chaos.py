"""Chaos on the virtual pool: which faults strike a run, drawn from a seed, and what must hold all the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from orchestrator.errors import JournalHeld
from orchestrator.journal.file import FileJournal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.records import Record
from orchestrator.outcome import Faults as Reported
from orchestrator.pools.virtual import Faults
from orchestrator.protocols import Observer
from orchestrator.records import Actions, Cause, Left, Result, Wake
from orchestrator.summary import Summary
from tests.support.deaf_writers import tracked_by
from tests.support.faults import Fault
from tests.support.scenario import RUN, Knife, World, end_of, run_to_end
from tests.support.toys.cases import CASES

OF_THE_POOL = (
    Fault.CRASH,
    Fault.HANG,
    Fault.SLOW,
    Fault.LOST_REPLY,
    Fault.DUPLICATE_REPLY,
    Fault.JOIN,
    Fault.LEAVE,
    Fault.AGGREGATOR_LOST,
    Fault.NON_FINITE_FROM_ONE,
)
OF_THE_ENGINE = (Fault.DRIVER_KILLED, Fault.SECOND_DRIVER, Fault.DISK_FULL, Fault.TORN_WRITE)
OF_MLFLOW = (
    Fault.MLFLOW_ABSENT,
    Fault.MLFLOW_HANGING,
    Fault.MLFLOW_FAILING,
    Fault.MLFLOW_SLOW,
    Fault.MLFLOW_BACK,
)
MOST_WAKES = 3_000  # of all engines of a run; a calm one has a tenth
KILLS = ("before append", "appended", "handled", "in snapshot", "in rotation")
FULL = ("full for a record", "full for a snapshot")


class Schedule(NamedTuple):
    """What strikes one run. survives: the pool does, when its engine dies."""

    seed: int
    case: str
    struck: frozenset[Fault]
    pool: Faults
    survives: bool


def schedule_of(seed: int) -> Schedule:
    """One to four faults of the pool, one or two of the engine, in every third run one of MLflow; and of one run in
    twenty every answer is NaN."""
    draw = random.Random(f"chaos {seed}")
    case = list(CASES)[seed % len(CASES)]
    struck = {*draw.sample(OF_THE_POOL, draw.randint(1, 4)), *draw.sample(OF_THE_ENGINE, draw.randint(1, 2))}
    if draw.random() < 1 / 3:
        struck.add(draw.choice(OF_MLFLOW))
    if draw.random() < 1 / 20:
        struck = struck - {Fault.NON_FINITE_FROM_ONE} | {Fault.NON_FINITE_FROM_ALL}
    return Schedule(seed, case, frozenset(struck), pool_faults(struck, draw), draw.random() < 0.5)


def pool_faults(struck: set[Fault], draw: random.Random) -> Faults:
    """How often each strikes, so that most runs come to their end."""
    faults = Faults(back_s=draw.uniform(0.5, 3.0), lost_after_s=draw.uniform(2.0, 6.0))
    chances = {
        Fault.CRASH: ("crash", 0.01, 0.05),
        Fault.HANG: ("hang", 0.002, 0.01),
        Fault.SLOW: ("slow", 0.05, 0.2),
        Fault.LOST_REPLY: ("lost", 0.002, 0.006),
        Fault.DUPLICATE_REPLY: ("duplicate", 0.05, 0.3),
        Fault.AGGREGATOR_LOST: ("aggregator_crash", 0.02, 0.08),
        Fault.NON_FINITE_FROM_ONE: ("non_finite", 0.05, 0.3),
    }
    drawn = {name: draw.uniform(low, high) for fault, (name, low, high) in chances.items() if fault in struck}
    faults = replace(faults, **drawn)  # type: ignore[arg-type]  # all of these are probabilities
    if Fault.NON_FINITE_FROM_ONE in struck:
        faults = replace(faults, non_finite_workers=("worker-2",))
    if Fault.NON_FINITE_FROM_ALL in struck:
        faults = replace(faults, non_finite=1.0)
    if Fault.JOIN in struck:
        faults = replace(
            faults, joins=[(draw.uniform(1.0, 10.0), f"worker-{7 + n}") for n in range(draw.choice([1, 2]))]
        )
    if Fault.LEAVE in struck:
        faults = replace(faults, leaves=[(draw.uniform(2.0, 12.0), f"worker-{n}") for n in range(draw.choice([1, 2]))])
    return faults


def cuts_of(schedule: Schedule, passed: Mapping[str, int]) -> list[tuple[str, int]]:
    """At which instants the engine dies, early enough for all to come; passed: as often as a calm engine would."""
    draw = random.Random(f"cuts {schedule.seed}")
    kills = draw.randint(1, 3) if schedule.struck & {Fault.DRIVER_KILLED, Fault.TORN_WRITE} else 0
    instants = [draw.choice(KILLS) for _ in range(kills)]
    if Fault.DISK_FULL in schedule.struck:
        instants.insert(draw.randint(0, kills), draw.choice(FULL))
    share = len(instants) + 1
    return [(instant, 2 + draw.randrange(max(1, passed[instant] // share - 2))) for instant in instants]


class Survived(NamedTuple):
    """What a run came to. failed: why it ended early, or ""."""

    kills: int
    failed: str


def survive(schedule: Schedule, folder: Path) -> Survived:
    """Does the run twice, once without anything that befalls the engine, and checks both against each other."""
    calm, counting = _world(schedule, folder / "calm"), Knife()
    _, weights = run_to_end(calm, counting, survives=True, torn=None, observers=[Bound()])
    expected = end_of(calm)
    assert expected.weights == weights

    world = _world(schedule, folder / "struck")
    draw = random.Random(f"torn {schedule.seed}")
    journalled: list[list[Record]] = []

    def died() -> None:
        journalled.append(list(JournalReader(world.folder / "journal", RUN).records()))
        if Fault.TORN_WRITE in schedule.struck and draw.random() < 0.5:
            spoil_a_snapshot(world.folder / "snapshots", draw)

    torn = draw if Fault.TORN_WRITE in schedule.struck else None
    knife = Knife(cuts_of(schedule, counting.passed))
    with tracked_by(schedule.struck & set(OF_MLFLOW), folder) as tracking:
        observers: list[Observer] = [Bound(), *tracking]
        if Fault.SECOND_DRIVER in schedule.struck:
            observers.append(Rival(world.folder / "journal"))
        kills, weights = run_to_end(
            world, knife, survives=schedule.survives, torn=torn, observers=observers, between=died
        )
    records = list(JournalReader(world.folder / "journal", RUN).records())
    for before in journalled:
        assert records[: len(before)] == before, "a journalled record is lost"
    summary = Summary()
    end = end_of(world, [summary])
    require_counted(records, summary.faults)
    assert weights == end.weights, "the run and the replay of its journal differ"
    if schedule.survives:
        assert end == expected, "the resumed run is not the uninterrupted one"
    return Survived(kills, end.failed)


def require_counted(records: Sequence[Record], reported: Reported) -> None:
    """Every fault that the journal has is in the run's summary, once."""
    events = [event for record in records if isinstance(record, Wake) for event in record.events]
    first: dict[tuple[int, int], Result] = {}
    repeats = 0
    for event in events:
        if isinstance(event, Result):
            repeats += (event.work_id, event.attempt) in first
            first.setdefault((event.work_id, event.attempt), event)
    failures = Counter(result.failure.cause for result in first.values() if result.failure is not None)
    del failures[Cause.CANCELLED]  # of late work, which is no failure
    left = [event for event in events if isinstance(event, Left) and event.worker.startswith("worker")]
    assert (reported.failures, reported.repeats) == (failures, repeats)
    assert reported.left == sum(event.cause is not Cause.PREEMPTED for event in left)


class Bound:
    """A run that goes on for ever is told so."""

    def __init__(self) -> None:
        self.left = MOST_WAKES

    def seen(self, wake: Wake, actions: Actions) -> None:
        self.left -= 1
        assert self.left, f"not done after {MOST_WAKES:,} wakes"


class Rival:
    """Another engine that wants the same run, again and again."""

    def __init__(self, journal: Path) -> None:
        self.journal, self.turned_away = journal, 0

    def seen(self, wake: Wake, actions: Actions) -> None:
        if actions.closed:
            with pytest.raises(JournalHeld):
                FileJournal(self.journal, RUN)
            self.turned_away += 1


def spoil_a_snapshot(folder: Path, draw: random.Random) -> None:
    """Cuts the end off the newest, as a disk may that lied about its sync."""
    files: Sequence[Path] = sorted(folder.glob("snapshot-*.json"))
    if files:
        data = files[-1].read_bytes()
        files[-1].write_bytes(data[: draw.randrange(len(data))])


def _world(schedule: Schedule, folder: Path) -> World:
    folder.mkdir(parents=True)
    return World(folder, CASES[schedule.case], schedule.pool, seed=schedule.seed)
