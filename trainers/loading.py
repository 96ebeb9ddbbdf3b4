"""From `package.module:Class` to a Task, and to the arguments of its model."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from trainers.errors import ArgumentInvalid, TaskInvalid, did_you_mean
from trainers.task import Task

LOOKED = 2
"""How many folders of the import path are named when a task is in none: the current one and the spec's."""


def load_task(given: str, folders: Sequence[Path] = ()) -> Task:
    """Imports the module and makes the task.

    Args:
        given: `package.module:Class`.
        folders: looked in before all others, first one first; they stay on sys.path, for the task may import later.
    Raises:
        TaskInvalid: no such module or class, not a Task, or its constructor wants arguments. Whatever the user's
            module itself raises while it is imported passes through.
    """
    module_name, colon, class_name = given.partition(":")
    if not (colon and module_name and class_name):
        raise TaskInvalid(given, "write it as package.module:Class")
    for folder in reversed([str(folder.resolve()) for folder in folders]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module = _import(given, module_name)
    task_class = getattr(module, class_name, None)
    if task_class is None:
        names = [name for name, value in vars(module).items() if _is_task(value)]
        raise TaskInvalid(given, f"{module_name} has no {class_name!r}{did_you_mean(class_name, names)}")
    if not _is_task(task_class):
        raise TaskInvalid(given, f"{class_name} is no subclass of trainers.Task")
    missing = inspect.getattr_static(task_class, "__abstractmethods__", frozenset())
    if missing:
        raise TaskInvalid(given, f"{class_name} does not define {', '.join(sorted(missing))}")
    if any(parameter.default is parameter.empty for parameter in _named(task_class)):
        raise TaskInvalid(given, f"{class_name} wants arguments, and a task is made without any; give them defaults")
    task: Task = task_class()
    return task


def require_model_arguments(task: Task, given: Iterable[str]) -> None:
    """Checks the names, not the values, of arguments for `task.model`.

    Raises:
        ArgumentInvalid: one that it does not take, or one without a default that is not given.
    """
    names = set(given)
    parameters = {parameter.name: parameter for parameter in _named(task.model)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(task.model).parameters.values())
    needed = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    wrong = sorted(needed - names) + ([] if takes_any else sorted(names - parameters.keys()))
    if wrong:
        raise ArgumentInvalid(type(task).__name__, wrong[0], tuple(parameters))


def _import(given: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # something that the user's module imports
        own = [folder or "." for folder in sys.path if "site-packages" not in folder]
        looked = ", ".join(own[:LOOKED])
        raise TaskInvalid(given, f"there is no module {error.name!r} in {looked} or among what is installed") from error


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and value is not Task


def _named(function: object) -> list[inspect.Parameter]:
    """Parameters that can be given by name."""
    assert callable(function)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter for parameter in inspect.signature(function).parameters.values() if parameter.kind in kinds]
