"""What a spec names outside itself: its task, its optimizer, its folders. Looks, and leaves nothing behind."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import StorageInvalid
from orchestrator.spec.common import Optimizer
from orchestrator.spec.federate_world import federate_world
from orchestrator.spec.job_world import job_world
from orchestrator.spec.merge_world import merge_world
from orchestrator.spec.metric_world import metric_problems
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, dotted
from orchestrator.spec.search_world import search_world
from orchestrator.spec.serve_world import serve_world
from orchestrator.spec.stages import alone
from orchestrator.spec.train import Schedule
from orchestrator.uris import printable
from orchestrator.words import did_you_mean

if TYPE_CHECKING:
    from trainers import Task

TRACKING_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks")
STORAGE_SCHEMES = ("file", "s3", "gs", "gcs", "abfs", "hdfs")


def absences(spec: Spec) -> Iterator[Complaint]:
    """What is not there, or not as the spec says. Cost: imports torch and the user's module."""
    if len(spec.given) == 1 and spec.task:
        yield from _task(spec)
        yield from OF_VERBS[spec.verb](spec)
        for number, stage in enumerate(spec.then, start=1):
            for found in OF_VERBS[stage.verb](alone(spec, number)) if len(stage.given) == 1 else ():
                prefix: Keys = ("then", number - 1)
                yield Complaint(tuple((*prefix, *keys) for keys in found.about), f"{dotted(prefix)}.{found.message}")
    yield from serve_world(spec)
    yield from job_world(spec)
    if why := _folder(Path(spec.state)):
        yield Complaint((("state",),), f"state: {spec.state} {why}")
    if spec.tracking.uri is not None:
        yield from _scheme(("tracking", "uri"), spec.tracking.uri, TRACKING_SCHEMES)
    if spec.storage is not None:
        yield from _storage(spec.storage)


def _task(spec: Spec) -> Iterator[Complaint]:
    """The task, and the arguments of its model."""
    from trainers.errors import TaskInvalid
    from trainers.loading import load_task

    try:
        task = load_task(spec.task)
    except TaskInvalid as error:
        yield Complaint((("task",),), f"task: {error.given!r}: {error.problem.rstrip('.')}.")
        return
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        yield Complaint((("task",),), f"task: {spec.task!r} cannot be loaded: {_told_by_user_code(error)}.")
        return
    yield from _model_arguments(task, spec)


def _model_arguments(task: Task, spec: Spec) -> Iterator[Complaint]:
    """Each that the model does not take, and each that it needs and is not given."""
    from trainers.errors import ArgumentInvalid
    from trainers.loading import require_model_arguments

    places = spec.section.model_arguments()
    names = set(places)
    while True:
        try:
            return require_model_arguments(task, names)
        except ArgumentInvalid as error:
            keys: Keys = (spec.verb, *places.get(error.argument, ("model",)))
            yield Complaint((keys, ("task",)), f"{dotted(keys)}: {str(error).rstrip('.')}.")
            names ^= {error.argument}


def _train(spec: Spec) -> Iterator[Complaint]:
    assert spec.train is not None
    train = spec.train
    yield from optimizer_problems(("train", "optimizer"), train.optimizer)
    if train.outer_optimizer is not None:
        yield from optimizer_problems(("train", "outer_optimizer"), train.outer_optimizer)
    if train.learning_rate_schedule is not None:
        yield from _schedule_problems(train.learning_rate_schedule, train.optimizer)
    if train.early_stopping is not None:
        yield from metric_problems(spec, ("train", "early_stopping", "metric"), train.early_stopping.metric)
    if train.checkpoints.best is not None:
        yield from metric_problems(spec, ("train", "checkpoints", "best", "metric"), train.checkpoints.best.metric)


def _schedule_problems(schedule: Schedule, optimizer: Optimizer) -> Iterator[Complaint]:
    """What torch's class says; where the optimizer is wrong, that is told elsewhere."""
    from trainers.errors import OptimizerInvalid, ScheduleInvalid
    from trainers.schedules import check_schedule

    where: Keys = ("train", "learning_rate_schedule")
    try:
        check_schedule({"name": schedule.name, **schedule.options}, {"name": optimizer.name, **optimizer.options})
    except ScheduleInvalid as error:
        yield Complaint((where,), f"{dotted(where)}: {error.name!r}: {error.problem.rstrip('.')}.")
    except OptimizerInvalid:
        return


def optimizer_problems(where: Keys, optimizer: Optimizer) -> Iterator[Complaint]:
    """What the class says, and of which option: the one without which it would not say so."""
    name: Keys = (*where, "name")
    settings = {"name": optimizer.name, **optimizer.options}
    while why := _optimizer_problem(settings):
        culprits = (option for option in settings if option not in ("name", "lr"))
        culprit = next((option for option in culprits if _optimizer_problem(_without(settings, option)) != why), None)
        keys: Keys = (*where, culprit or "name")
        yield Complaint((keys, name), f"{dotted(keys)}: {why}")
        if culprit is None:
            return
        settings = _without(settings, culprit)


def _without(settings: Mapping[str, Any], option: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != option}


def _optimizer_problem(settings: Mapping[str, Any]) -> str:
    """What is wrong with it, or ""."""
    from trainers.errors import OptimizerInvalid
    from trainers.optimizers import check_optimizer

    try:
        check_optimizer(settings)
    except OptimizerInvalid as error:
        return f"{error.name!r}: {error.problem.rstrip('.')}."
    return ""


def _told_by_user_code(error: BaseException) -> str:
    """What was raised and where, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def _scheme(keys: Keys, uri: str, known: tuple[str, ...]) -> Iterator[Complaint]:
    """scheme or scheme+driver before ://; without one it is a path."""
    scheme = uri.partition("://")[0].partition("+")[0] if "://" in uri else "file"
    if scheme not in known:
        near = did_you_mean(scheme, known) or "."
        message = f"{dotted(keys)}: {printable(uri)!r} begins with no known scheme{near} Allowed: {', '.join(known)}."
        yield Complaint((keys,), message)


def _storage(uri: str) -> Iterator[Complaint]:
    """Its scheme, or what else it cannot be opened for; one that does not answer now may do so when the run begins.

    Cost: a question to S3, where no region is given.
    """
    from orchestrator.storage import Storage

    if unknown := list(_scheme(("storage",), uri, STORAGE_SCHEMES)):
        yield from unknown
        return
    try:
        Storage(uri)
    except StorageInvalid as error:
        yield Complaint((("storage",),), str(error))
    except OSError:
        return


def _folder(folder: Path) -> str:
    """Why it can be neither made nor written to, to follow its name; "" if it can. Tries by a file without a name."""
    try:
        above = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
        if not above.is_dir():
            return f"is {'' if above == folder else f'below {above}, '}a regular file. Give a folder that can be made."
        with tempfile.TemporaryFile(dir=above):
            return ""
    except (OSError, ValueError) as error:
        return f"cannot be written ({getattr(error, 'strerror', None) or error}). Give a folder on a writable disk."


OF_VERBS: Mapping[str, Callable[[Spec], Iterator[Complaint]]] = {
    "train": _train,
    "federate": federate_world,
    "search": search_world,
    "merge": merge_world,
}


def _exists(path: Path) -> bool:
    """As Path.exists, but a name that can never be one is an error."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
