"""A worker's process: takes work from its session, has it done, sends what came of it. Joins cluster and trainers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self, TypeAlias

from cluster.sessions import Door, WorkerSession
from orchestrator.pools.execute import Execute, WorkFailed
from orchestrator.pools.latency import Pareto, chance
from orchestrator.records import WORKER, Cause, Failure, Ref, Work
from protos import ripieno_pb2 as pb

ENTRY = "orchestrator.worker:serve"
"""For a launcher's `Member`; its argument is `WorkerSettings.to_json()`."""

MakeExecute: TypeAlias = Callable[[WorkerSession], Execute]
"""The session says where values lie, and whether work is to be interrupted."""

SLOW_SLEEP_S = 0.01  # at a time, when a slow worker waits
DELAYS = 0xDE1A  # seeds their chance


@dataclass(frozen=True, slots=True)
class Training:
    """What a worker trains. task: `package.module:Class`, looked for in `folders` first. device: as torch names it.

    A site is told task, seed and threads; device and folders are its own.
    """

    task: str
    seed: int
    threads: int = 1
    device: str = "cpu"
    folders: tuple[str, ...] = ()

    def for_sites(self) -> bytes:
        """What a site is told, as JSON."""
        return json.dumps({"task": self.task, "seed": self.seed, "threads": self.threads}).encode()

    @classmethod
    def from_engine(cls, told: bytes) -> Self:
        """Raises ValueError: it is not what `for_sites` makes."""
        try:
            given = json.loads(told)
            return cls(str(given["task"]), int(given["seed"]), int(given["threads"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"the engine's settings are not understood: {error!r}") from error


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How one worker is to be; travels as JSON, secret included.

    slow_factor: >= 1; its work takes so many times as long, by sleeping, for demonstrations. delay: and so much longer,
        drawn for each work by its id. share: False: as if the engine's shared memory were on another host. training:
        None: for entries that do something else.
    """

    door: Door
    name: str
    role: str = WORKER
    labels: Mapping[str, str] = field(default_factory=dict)
    slow_factor: float = 1.0
    delay: Pareto | None = None
    share: bool = True
    training: Training | None = None

    def extra_s(self, work: Work, computed_s: float) -> float:
        """How long to sleep after a work that took so long."""
        late_s = 0.0 if self.delay is None else self.delay.seconds(chance(DELAYS, work.id))
        return (self.slow_factor - 1) * computed_s + late_s

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        given = json.loads(text)
        given["door"] = Door(**given["door"])
        if given["delay"] is not None:
            given["delay"] = Pareto(**given["delay"])
        if given["training"] is not None:
            given["training"] = Training(**given["training"])
        return cls(**given)


def serve(argument: str) -> None:
    """The entry of a training worker. Joins when it is ready to compute; returns when the engine says goodbye.

    A task that cannot be loaded is told as the failure of each work, with the user's traceback.
    Raises:
        Refused, EngineGone: see `WorkerSession.take`.
    """
    settings = WorkerSettings.from_json(argument)
    assert settings.training is not None, "a training worker needs to know what to train"
    work_for_engine(settings, prepare(settings.training, settings.role))


def work_for_engine(settings: WorkerSettings, make_execute: MakeExecute) -> None:
    """Does all work that comes, one piece at a time, in this thread."""
    with WorkerSession(
        settings.door, settings.name, role=settings.role, labels=settings.labels, share=settings.share
    ) as session:
        for _ in answers(session, make_execute(session), settings.extra_s):
            pass


def answers(
    session: WorkerSession, execute: Execute, extra_s: Callable[[Work, float], float] = lambda work, computed_s: 0.0
) -> Iterator[tuple[Work, pb.Result]]:
    """Does all work that a session brings, piece by piece, and yields each with what was answered.

    Raises:
        Refused, EngineGone: see `WorkerSession.take`.
    """
    while (given := session.take()) is not None:
        work = work_of(given.assignment)
        damage = "; ".join(filter(None, map(session.damage, work.inputs.values())))
        result = _failed(Failure(Cause.BAD_REPLY, damage)) if damage else _do(work, execute)
        if (sleep_s := extra_s(work, result.computed_s)) > 0:
            result = _slowed(result, sleep_s, session.interrupted)
        result.attempt.CopyFrom(given.assignment.attempt)
        session.answer(given, result)
        yield work, result


def work_of(assignment: pb.Assignment) -> Work:
    """The work as a worker needs it; how it is placed, counted and timed stays with the engine."""
    inputs = {given.input: Ref(given.value) for given in assignment.inputs}
    params = json.loads(assignment.params)
    return Work(assignment.attempt.work_id, assignment.round, assignment.kind, inputs, params)


def _do(work: Work, execute: Execute) -> pb.Result:
    started_s = time.perf_counter()
    try:
        outputs, metrics = execute(work)
        result = pb.Result(outputs=outputs, metrics=metrics)
    except WorkFailed as error:
        result = _failed(error.failure)
    result.computed_s = time.perf_counter() - started_s
    return result


def _slowed(result: pb.Result, sleep_s: float, interrupted: Callable[[], bool]) -> pb.Result:
    """The same result after so many seconds more, or none if it was interrupted meanwhile."""
    computed_s, slept_s = result.computed_s, 0.0
    started_s = time.perf_counter()
    while slept_s < sleep_s:
        if interrupted():
            result = _failed(Failure(Cause.CANCELLED, "stopped while it was being slow"))
            break
        time.sleep(min(SLOW_SLEEP_S, sleep_s - slept_s))
        slept_s = time.perf_counter() - started_s
    result.computed_s = computed_s + slept_s
    return result


def _failed(failure: Failure) -> pb.Result:
    cause, message, traceback = failure
    return pb.Result(failure=pb.Failure(cause=cause.value, message=message, traceback=traceback))


def prepare(training: Training, role: str) -> MakeExecute:
    """All that takes long, torch's import first of all, so that a worker that joins is ready."""
    from trainers import Context, claim_generators, keep_freed_memory, limit_cores, load_task, make_deterministic

    claim_generators()
    keep_freed_memory()
    make_deterministic(training.threads)
    if role == WORKER:  # while one aggregates, the others wait for it
        limit_cores(training.threads)
    import torch

    from orchestrator.compute import executor, failure_of
    from orchestrator.values.shared import SharedValues

    try:
        task = load_task(training.task, [Path(folder) for folder in training.folders])
        context = Context(task, training.seed, torch.device(training.device))
    except Exception as error:
        failure = failure_of(error)
        return lambda session: _always(failure)
    return lambda session: executor(SharedValues(session.folder), replace(context, interrupted=session.interrupted))


def _always(failure: Failure) -> Execute:
    def execute(work: Work) -> tuple[Mapping[str, Ref], Mapping[str, float]]:
        raise WorkFailed(failure)

    return execute
