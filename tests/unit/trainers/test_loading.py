"""From what a user wrote to a Task, or to a sentence that says what is wrong with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from trainers import load_task, require_model_arguments
from trainers.errors import ArgumentInvalid, TaskInvalid

SOURCE = """
from trainers import Task

class Complete(Task):
    def model(self, width=3, *, depth): ...
    def data(self, split): ...

class Wanting(Complete):
    def __init__(self, folder): ...

class Unfinished(Task):
    def model(self): ...

class Free(Complete):
    def model(self, **anything): ...

class Unrelated: ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    package = tmp_path / "house_of_tasks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "good.py").write_text(dedent(SOURCE))
    (package / "needy.py").write_text("import no_such_library\n")
    (package / "broken.py").write_text("1 / 0\n")
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    for name in [name for name in sys.modules if name.startswith("house_of_tasks")]:
        del sys.modules[name]


def test_a_task_is_found_in_the_given_folder(folder: Path) -> None:
    assert type(load_task("house_of_tasks.good:Complete", [folder])).__name__ == "Complete"


def test_the_example_is_a_task() -> None:
    load_task("examples.fashion_mnist.task:FashionMnist")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("house_of_tasks.good", "write it as package.module:Class"),
        (":Complete", "write it as package.module:Class"),
        ("house_of_tasks.godo:Complete", "there is no module 'house_of_tasks.godo' in "),
        ("mouse_of_tasks.good:Complete", "there is no module 'mouse_of_tasks' in "),
        ("house_of_tasks.good:Compleat", "has no 'Compleat'; did you mean 'Complete'? Allowed: Complete,"),
        ("house_of_tasks.good:Unrelated", "Unrelated is no subclass of trainers.Task"),
        ("house_of_tasks.good:Task", "Task is no subclass of trainers.Task"),
        ("house_of_tasks.good:Unfinished", "Unfinished does not define data"),
        ("house_of_tasks.good:Wanting", "Wanting wants arguments"),
    ],
)
def test_what_leads_to_no_task_is_told(folder: Path, given: str, sentence: str) -> None:
    with pytest.raises(TaskInvalid) as raised:
        load_task(given, [folder])
    assert str(raised.value).startswith(f"task {given!r}: ")
    assert sentence in str(raised.value)


def test_an_error_in_the_users_module_passes_through(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load_task("house_of_tasks.needy:Complete", [folder])
    with pytest.raises(ZeroDivisionError):
        load_task("house_of_tasks.broken:Complete", [folder])


def test_arguments_of_the_model_are_checked_by_name(folder: Path) -> None:
    task = load_task("house_of_tasks.good:Complete", [folder])
    require_model_arguments(task, ["width", "depth"])
    require_model_arguments(task, ["depth"])
    with pytest.raises(ArgumentInvalid, match="has no argument 'widht'; did you mean 'width'"):
        require_model_arguments(task, ["widht", "depth"])
    with pytest.raises(ArgumentInvalid, match="needs the argument 'depth'"):
        require_model_arguments(task, ["width"])
    require_model_arguments(load_task("house_of_tasks.good:Free", [folder]), ["whatever"])
