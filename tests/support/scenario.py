"""One run on the virtual pool that can be killed at any instant and resumed, and what it came to."""

from __future__ import annotations

import random
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from orchestrator.core import Core
from orchestrator.driver import Engine
from orchestrator.errors import RunFailed
from orchestrator.journal.codec import encode
from orchestrator.journal.file import FileJournal
from orchestrator.journal.reader import JournalReader, segment_numbers, segment_path
from orchestrator.journal.records import Record, Resumed, Snapshot, Started
from orchestrator.journal.segment import SegmentReader, encode_frame
from orchestrator.journal.snapshots import Snapshots
from orchestrator.pools.execute import Execute
from orchestrator.pools.latency import Constant, Latency, ShiftedExponential
from orchestrator.pools.virtual import Faults, VirtualPool
from orchestrator.protocols import Observer, Values
from orchestrator.records import Actions, Assignment, Decided, Json, Row, Wake
from orchestrator.replay import Comparison, restore
from orchestrator.values.memory import MemoryValues
from orchestrator.values.persisted import MemoryFiles, Persisted
from tests.support.toys.case import Case, execute
from trainers import fingerprint

RUN = "r-sweep"
WORKERS = 5
CALM = Faults()
STORM = Faults(
    crash=0.03,
    back_s=1.5,
    lost=0.004,
    lost_after_s=4.0,
    duplicate=0.1,
    slow=0.1,
    joins=((4.0, "worker-7"),),
    leaves=((9.0, "worker-1"),),
)
SEGMENT_BYTES = 2_000
SNAPSHOT_EVERY = 9  # wakes
ROOM_BYTES = 7  # what a disk that is full still takes

QUICK = {"aggregate": 0.01, "combine": 0.01, "evaluate": 0.05, "init": 0.1}


class Killed(BaseException):
    """SIGKILL, as far as the engine can tell: nothing of it goes on."""


class End(NamedTuple):
    """All that two runs must agree on."""

    weights: str
    state: Json
    decisions: Sequence[Decided]
    rows: Sequence[Row]
    decisions_hash: str
    failed: str


@dataclass(slots=True)
class World:
    """What outlives an engine: its folder on disk and, if it survives, the pool with the values it holds."""

    folder: Path
    case: Case
    faults: Faults
    seed: int
    files: MemoryFiles = field(default_factory=MemoryFiles)
    kept: MemoryFiles = field(default_factory=MemoryFiles)
    values: MemoryValues | None = None
    pool: VirtualPool | None = None

    def core(self) -> Core:
        return Core(self.case.strategy(), self.case.quorum(), seed=self.seed, patience_s=30.0)

    def execute(self) -> Execute:
        assert self.values is not None
        return execute(self.case.kinds, self.values, self.seed)

    def fresh_pool(self) -> None:
        """The processes that held values and did the work are gone, and others take their place."""
        self.values = MemoryValues(Persisted(self.files), Persisted(self.kept))
        latency = Latency(
            ShiftedExponential(0.7),
            factors={3: 5.0},
            by_kind={kind: Constant(seconds) for kind, seconds in QUICK.items()},
        )
        self.pool = VirtualPool(WORKERS, self.execute(), seed=self.seed, latency=latency, faults=self.faults)


@dataclass(slots=True)
class Knife:
    """Kills the engine at given instants, one after another: (instant, how often it passes before the cut).

    Instants: "before append", "appended", "handled", "in snapshot", "in rotation", "in resume"; and two at which the
    disk is full instead, which the engine notices: "full for a record", "full for a snapshot".
    """

    cuts: list[tuple[str, int]] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)

    def here(self, instant: str) -> None:
        if self._due(instant):
            raise Killed

    @contextmanager
    def full(self, instant: str, room_bytes: int) -> Iterator[None]:
        """Within, if it is time, no file can grow beyond so many bytes."""
        if not self._due(instant):
            yield
            return
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def _due(self, instant: str) -> bool:
        self.passed[instant] += 1
        if not self.cuts or self.cuts[0][0] != instant:
            return False
        _, more = self.cuts[0]
        self.cuts[0] = (instant, more - 1)
        if more:
            return False
        del self.cuts[0]
        return True


class SharpJournal(FileJournal):
    """The real journal, with a knife beside it."""

    def __init__(self, folder: Path, knife: Knife) -> None:
        self._knife = knife
        super().__init__(folder, RUN, segment_bytes=SEGMENT_BYTES)

    def append(self, record: Record) -> None:
        if isinstance(record, Wake):
            self._knife.here("before append")
        if isinstance(record, Snapshot):
            self._knife.here("in snapshot")  # its file is there, the word of it is not
        self.settle()
        begins_one = self._segment.size_bytes >= SEGMENT_BYTES
        with self._knife.full("full for a record", ROOM_BYTES + (0 if begins_one else self._segment.size_bytes)):
            super().append(record)
        if isinstance(record, Wake):
            self._knife.here("appended")

    def settle(self) -> None:
        """Waits for the thread that compresses, which a full disk, where there is one, shall not hit."""
        self._compressor.join()

    def _rotate(self) -> None:
        self._knife.here("in rotation")
        super()._rotate()
        self._knife.here("in rotation")


class SharpPool:
    """The real pool, seen by an engine that may die before it hands its work over."""

    def __init__(self, pool: VirtualPool, knife: Knife) -> None:
        self._pool, self._knife = pool, knife
        self.wait, self.reconcile = pool.wait, pool.reconcile
        self.interrupt, self.close = pool.interrupt, pool.close

    def cancel(self, work_ids: Sequence[int]) -> None:
        self._knife.here("handled")
        self._pool.cancel(work_ids)

    def submit(self, assignments: Sequence[Assignment]) -> None:
        self._pool.submit(assignments)


class SharpSnapshots(Snapshots):
    def __init__(self, folder: Path, knife: Knife, journal: SharpJournal) -> None:
        super().__init__(folder)
        self._knife, self._journal = knife, journal

    def save(self, wakes: int, state: Json) -> Snapshot:
        self._knife.here("in snapshot")  # values are kept, the state is not
        self._journal.settle()
        with self._knife.full("full for a snapshot", ROOM_BYTES):
            return super().save(wakes, state)


class Notebook:
    """An observer that keeps what the core decided and reported; by wake, so that replays do not count twice."""

    def __init__(self) -> None:
        self.decided: list[Decided] = []
        self.rows: list[Row] = []

    def seen(self, wake: Wake, actions: Actions) -> None:
        self.decided.extend(actions.decided)
        self.rows.extend(actions.rows)


@dataclass(slots=True)
class EveryFewWakes:
    """When to take a snapshot, by the only clock that is the same in every run."""

    core: Core
    last: int = 0

    def __call__(self, wake: Wake) -> bool:
        due = self.core.wakes - self.last >= SNAPSHOT_EVERY
        self.last = self.core.wakes if due else self.last
        return due


def engine_of(world: World, knife: Knife, observers: Sequence[Observer]) -> Engine:
    """A new engine for what is in the world's folder: a run from its beginning, or a resume of one."""
    snapshots_folder = world.folder / "snapshots"
    snapshots_folder.mkdir(parents=True, exist_ok=True)
    journal = SharpJournal(world.folder / "journal", knife)
    try:
        snapshots = SharpSnapshots(snapshots_folder, knife, journal)
        core = world.core()
        if not journal.position:
            journal.append(Started(RUN, None, "", "", None, world.seed, ""))
        else:
            knife.here("in resume")
            point = next(iter(snapshots.points(journal)))
            lineage = restore(core, journal.records(point.since), point.state)
            knife.here("in resume")
            assert world.values is not None
            assert world.pool is not None
            lineage.rebuild(core.held(), world.values, world.execute())
            journal.append(Resumed(journal.fence, None, ""))
            world.pool.reconcile(core.outstanding, core.present, core.wakes, core.now_s)
            world.pool.cancel(core.interrupted)
            knife.here("in resume")
        if world.pool is None:
            world.fresh_pool()
        assert world.values is not None
        assert world.pool is not None
        return Engine(
            core,
            SharpPool(world.pool, knife),
            journal,
            world.values,
            snapshots,
            EveryFewWakes(core),
            observers,
        )
    except BaseException:
        journal.close()
        raise


def run_to_end(
    world: World,
    knife: Knife,
    *,
    survives: bool,
    torn: random.Random | None,
    observers: Sequence[Observer] = (),
    between: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Runs, is killed, is resumed, until it ends.

    survives: the pool does. torn: also tears the journal's end at each kill. observers: of every engine. between:
    called after each kill.
    Returns how often it was killed, and the hash of the weights that the last engine ended with.
    """
    kills = 0
    while True:
        engine: Engine | None = None
        try:
            engine = engine_of(world, knife, observers)
            while (
                not engine.core.finished
            ):  # `drive`, without the 0.1 s that its collector takes to freeze a test suite
                engine.step()
            return kills, weights_of(engine.core, engine.values)
        except RunFailed:
            return kills, ""
        except (Killed, OSError):  # of a full disk, which has room again when the run is resumed
            kills += 1
        finally:
            if engine is not None:
                engine.journal.close()
        if torn is not None:
            tear(world.folder / "journal", torn)
        between()
        if not survives:
            world.fresh_pool()


def tear(folder: Path, draw: random.Random) -> None:
    """Leaves a random prefix of a record that was never finished at the end of the newest segment."""
    newest = segment_path(folder, segment_numbers(folder)[-1])
    reader = SegmentReader(newest, newest.read_bytes())
    for _ in reader:
        pass
    frame, _ = encode_frame(encode(Wake(1e9, ())), reader.seal)
    with newest.open("ab") as file:
        file.write(frame[: draw.randrange(1, len(frame))])


def weights_of(core: Core, values: Values) -> str:
    model = core.strategy.model
    return fingerprint(values.get(model.weights)) if model is not None else ""


def end_of(world: World, observers: Sequence[Observer] = ()) -> End:
    """What the journal in the world's folder comes to: decisions replayed, weights made anew from nothing.

    observers: are shown the whole run.
    """
    notebook = Notebook()
    core = world.core()
    comparison = Comparison(core, [notebook, *observers])
    comparison.run(JournalReader(world.folder / "journal", RUN).records())
    assert comparison.differing == []
    model = core.strategy.model
    weights = ""
    if comparison.failed is None and model is not None:
        values = MemoryValues(kept=Persisted(world.kept))
        comparison.lineage.rebuild([model.weights], values, execute(world.case.kinds, values, world.seed))
        weights = weights_of(core, values)
    failed = comparison.failed.reason if comparison.failed else ""
    return End(weights, core.strategy.state_dict(), notebook.decided, notebook.rows, core.decisions, failed)
