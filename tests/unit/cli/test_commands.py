"""The commands: exit codes, what is refused, and how little is loaded for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.outcome_file import save_outcome
from tests.unit.cli.test_runs import an_outcome, make

TASK = """
import torch
from trainers import Task

class Line(Task):
    def model(self, width: int = 1):
        return torch.nn.Linear(width, 1)

    def data(self, split):
        raise AssertionError("not to be looked at")
"""

SPEC = "task: line:Line\ntrain:\n  workers: 2\n  optimizer: {name: sgd, lr: 0.1}\n"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user, with a task and a spec."""
    (tmp_path / "line.py").write_text(TASK)
    (tmp_path / "train.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def ripieno(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in this process."""
    result = CliRunner().invoke(app, list(arguments), prog_name="ripieno")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_run_that_never_began_has_nothing_to_replay_send_or_explain(here: Path) -> None:
    (folder := here / "runs" / "never").mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps({"task": "line:Line", "train": {"workers": 1}}))
    for command in (["replay"], ["track", "sync"], ["show", "--why"]):
        code, _, err = ripieno(*command, "never")
        assert code == 2
        assert "the run was killed before it began" in err
    assert [file.name for file in folder.rglob("*")] == ["spec.json"]


def test_all_problems_come_at_once_with_exit_code_2_and_nothing_is_written(here: Path) -> None:
    (here / "train.yaml").write_text(
        "task: line:Lime\n"
        "train:\n"
        "  wokers: 2\n"
        "  workers: 4\n"
        "  quorum: {static: {k: 12}}\n"
        "  optimizer: {name: sgd, lr: 0.1, momentm: 0.9}\n"
        "state: line.py/runs\n"
    )
    before = sorted(here.rglob("*.*"))
    code, out, err = ripieno("run", "train.yaml", "--set", "tracking.uri=htpp://x", "--set", "sed=1")
    assert (code, out) == (2, "")
    assert [line.split(": ")[0] for line in err.splitlines()] == [
        "train.yaml:1 task",
        "train.yaml:3 train.wokers",
        "train.yaml:5 train.quorum.static.k is 12 but train.workers is 4, so no round could ever end. "
        "Use k <= 4 or workers >= 12.",
        "train.yaml:6 train.optimizer.momentm",
        "train.yaml:7 state",
        "--set tracking.uri=htpp://x tracking.uri",
        "--set sed=1 sed",
        "nothing was started",
    ]
    assert "line has no 'Lime'; did you mean 'Line'?" in err
    assert f"state: line.py/runs is below {here}/line.py, a regular file. Give a folder that can be made." in err
    assert [file for file in sorted(here.rglob("*.*")) if "__pycache__" not in str(file)] == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("task=lime:Line", "task: 'lime:Line': there is no module 'lime' in "),
        ("task=line", "task: 'line': write it as package.module:Class."),
        ("task=line:TASK", "task: 'line:TASK': line has no 'TASK'"),
        ("train.model.widht=2", "train.model.widht: Line.model() has no argument 'widht'; did you mean 'width'?"),
        ("train.optimizer.name=sgdd", "train.optimizer.name: 'sgdd': torch.optim has no such optimizer; did you mean"),
        ("train.optimizer.name=LBFGS", "train.optimizer.name: 'LBFGS': cannot be used: "),
        ("train.optimizer.nesterov=true", "train.optimizer.nesterov: 'sgd': does not take these options: Nesterov"),
        ("state=/proc/nothing/runs", "state: /proc/nothing/runs cannot be written ("),
        ("storage=s4://bucket", "storage: 's4://bucket' begins with no known scheme"),
        ("storage=file:///my runs", "storage: 'file:///my runs' cannot be opened: Cannot parse URI: 'file:///my runs'"),
        ("storage=file://rel/x", "storage: 'file://rel/x' cannot be opened: Unsupported hostname"),
        ("storage=s3://b/x?bogus=1", "storage: 's3://b/x?bogus=1' cannot be opened: Unexpected query parameter"),
    ],
)
def test_what_a_spec_names_must_be_there(override: str, sentence: str) -> None:
    code, _, err = ripieno("run", "train.yaml", "--set", override)
    assert code == 2
    assert f"--set {override} {sentence}" in err


def test_what_the_users_module_raises_is_told_with_its_line_and_without_traceback(here: Path) -> None:
    (here / "broken.py").write_text("x = 1\n\nimport nothing_of_the_kind\n")
    code, _, err = ripieno("run", "train.yaml", "--set", "task=broken:Line")
    assert code == 2
    assert "cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_the_kind'" in err
    assert f"({here}/broken.py:3)" in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rn"], "No such command 'rn'. Did you mean 'run'?"),
        (["run"], "Missing argument 'SPEC'"),
        (["run", "train.yaml", "--chek"], "No such option"),
        (["run", "train.yaml", "--name", "last"], "'last' cannot name a run"),
        (["run", "train.yaml", "--name", "../x"], "'../x' cannot name a run"),
        (["run", "trian.yaml"], "trian.yaml: no such file; did you mean 'train.yaml'?"),
        (["restore", "r-1", "--storage", "sss://b"], "storage: 'sss://b/r-1/journal' cannot be opened: Unrecognized"),
        (["restore", "r-1", "--storage", "file:///my runs"], "In a URI a space is %20; a path is taken as it is."),
        (["resume", "x"], "there are no runs in runs"),
        (["replay", "x"], "there are no runs in runs"),
        (["show", "x", "--state", "elsewhere"], "there are no runs in elsewhere"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(arguments: list[str], sentence: str) -> None:
    code, _, err = ripieno(*arguments)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_list_and_show_read_what_runs_left(here: Path) -> None:
    folder = make(here / "runs", "r-7f3", started_s=1.7e9)
    save_outcome(an_outcome(folder))
    code, out, _ = ripieno("list")
    assert (code, out.splitlines()[1].split()[:3]) == (0, ["r-7f3", "done", "B"])
    code, out, _ = ripieno("show", "last")
    assert code == 0
    assert out.startswith("done  r-7f3")
    code, out, _ = ripieno("show", "r-7", "--json")
    assert json.loads(out)["outcome"]["metrics"] == {"test_loss": 0.5}
    code, out, _ = ripieno("list", "--json")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["done"]


def test_a_run_whose_spec_is_damaged_is_not_resumed(here: Path) -> None:
    folder = make(here / "runs", "r-7f3", started_s=1.7e9)
    (folder / "spec.json").write_text('{"task": "a:B", "train": {"workers": 0}}')
    code, _, err = ripieno("resume", "r-7f3")
    assert code == 2
    assert "runs/r-7f3/spec.json:1 train.workers: 0 is not a whole number >= 1 or" in err


@pytest.mark.usefixtures("here")
def test_an_empty_state_folder_says_what_to_do() -> None:
    assert ripieno("list") == (0, "no runs in runs; start one with: ripieno run SPEC\n", "")


def test_the_schema_is_json() -> None:
    code, out, _ = ripieno("schema")
    assert (code, json.loads(out)["title"]) == (0, "Spec")


def test_the_doctor_says_something_of_everything() -> None:
    code, out, _ = ripieno("doctor")
    assert code == 0
    for word in ("python", "packages", "cores", "memory", "/dev/shm", "disk", "GPUs", "Ray", "MLflow", "data sets"):
        assert f"  {word}" in out


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list"], ["schema"], ["run", "nowhere.yaml"]])
def test_what_is_not_needed_is_not_loaded(arguments: list[str], tmp_path: Path) -> None:
    program = f"""
import sys
from orchestrator.cli import app
try:
    app({arguments!r}, prog_name="ripieno")
finally:
    print(sorted({{"torch", "ray", "mlflow", "numpy", "grpc"}} & sys.modules.keys()), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_python_m_orchestrator_is_the_same_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator"]
    asked = subprocess.run([*command, "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout == f"ripieno {version('ripieno')}\n"
    refused = subprocess.run([*command, "run", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"{tmp_path}: cannot be read: Is a directory.\nnothing was started\n",
    )


def test_a_run_to_go_on_with_has_to_be_named(here: Path) -> None:
    code, _, errors = ripieno("run", "train.yaml", "--resume")
    assert code == 2
    assert "--name" in errors
