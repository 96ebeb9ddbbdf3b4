"""`ray job submit` to a cluster that was started by itself, with token authentication: jobs, stopped, killed, again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.folder import RunFolder
from orchestrator.outcome_file import load_outcome
from tests.e2e.test_kill import RUN, gone, require_ended_as_its_replay, results, ripieno, until
from tests.support.paced_task import HOLD, PACE
from tests.support.ray_head import ROOT, Head, of_jobs, ray_head, submit

EXAMPLES = "examples/fashion_mnist"


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with ray_head(**{PACE: str(tmp_path_factory.mktemp("pace") / "pace")}) as head:
        yield head


SHORT = {
    "federate": ["federate.rounds=2", "federate.workers=2"],
    "search": ["search.trials=3", "search.workers=2"],
}


@pytest.mark.parametrize("verb", SHORT)
def test_a_verb_runs_as_a_ray_job_on_a_cluster_that_was_there(head: Head, verb: str, tmp_path: Path) -> None:
    sets = [*SHORT[verb], "resources.per_worker.cpu=0.5", f"state={tmp_path / 'runs'}"]
    options = [word for value in sets for word in ("--set", value)]
    job = submit(head, ripieno("run", f"{EXAMPLES}/{verb}.yaml", "--name", "job", *options))
    assert job.returncode == 0, job.stdout[-4000:]
    outcome = load_outcome(tmp_path / "runs" / "job")
    assert outcome is not None
    assert outcome.outcome == "done"
    assert outcome.mlflow_run_id


class Training:
    """A run of the digits as a job, always by the same command line; it takes its time until it is let go."""

    def __init__(self, head: Head, folder: Path) -> None:
        self.head, self.state, self.run = head, folder / "runs", folder / "runs" / RUN
        self.spec = folder / "train.yaml"
        self.spec.write_text(
            f"""
            task: tests.support.paced_task:Paced
            train:
              {{workers: 2, batch_size: 20, quorum: dynamic, epochs: 4, optimizer: {{name: sgd, lr: 0.1}}}}
            resources: {{per_worker: {{cpu: 0.5}}}}
            state: {self.state}
            """
        )
        self.pace = Path(head.environment[PACE])

    def submitted(self, *options: str) -> subprocess.CompletedProcess[str]:
        return submit(self.head, ripieno("run", str(self.spec), "--name", RUN, "--resume"), *options)

    def held(self, job: str, *options: str, since: int) -> psutil.Process:
        """Submits it, and holds it in the midst of its work as soon as there are more results than that. The engine."""
        self.pace.write_text("")
        submitted = self.submitted("--no-wait", "--submission-id", job, *options)
        assert submitted.returncode == 0, submitted.stdout
        until(lambda: results(self.run) > since)
        self.pace.write_text(HOLD)
        lock = RunFolder(self.run).journal / "lock"
        return psutil.Process(int(lock.read_text().splitlines()[-1].split()[0]))

    def is_over(self, job: str) -> bool:
        said = of_jobs(self.head, "status", job).stdout
        return any(f"Job '{job}' {end}" in said for end in ("succeeded", "failed", "was stopped"))

    def said(self, job: str) -> str:
        return of_jobs(self.head, "logs", job).stdout

    def snapshots(self) -> int:
        return len(list(RunFolder(self.run).snapshots.iterdir()))


def require_done_by_its_last_submission(training: Training) -> None:
    training.pace.unlink()
    job = training.submitted()
    assert job.returncode == 0, job.stdout[-4000:]
    require_ended_as_its_replay(training.state)


@pytest.mark.timeout(900)  # 40 s of CPU; machines may be busy
def test_a_stopped_job_leaves_a_snapshot_and_the_same_command_goes_on(head: Head, tmp_path: Path) -> None:
    training = Training(head, tmp_path)
    driver = training.held("by-default", since=10)
    early = training.snapshots()
    of_jobs(head, "stop", "by-default")
    until(lambda: gone([driver]))
    until(lambda: training.is_over("by-default"))
    assert training.snapshots() > early, "SIGKILL comes 3 s after SIGTERM"

    before = results(training.run)
    patient = '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}'
    driver = training.held("patient", "--runtime-env-json", patient, since=before + 10)
    of_jobs(head, "stop", "patient")
    until(lambda: gone([driver]))
    assert f"ripieno resume {RUN}" in training.said("patient")
    assert "tracking_incomplete" not in training.said("patient"), "who writes the record ends with the run, not before"
    outcome = load_outcome(training.run)
    assert outcome is not None
    assert outcome.outcome == "interrupted"
    require_done_by_its_last_submission(training)


@pytest.mark.timeout(900)  # 40 s of CPU; machines may be busy
def test_a_job_whose_driver_is_killed_is_gone_on_with_by_the_same_command(head: Head, tmp_path: Path) -> None:
    training = Training(head, tmp_path)
    training.held("killed", since=10).kill()
    until(lambda: training.is_over("killed"))
    assert load_outcome(training.run) is None
    require_done_by_its_last_submission(training)


def test_a_state_folder_that_would_go_with_the_job_is_refused(head: Head) -> None:
    job = submit(head, ripieno("run", f"{EXAMPLES}/train.yaml", "--set", "state=./runs"))
    assert job.returncode == 1, "the command line of Ray knows no other code"
    assert "failed with exit code 2" in job.stdout
    assert "lies in the copy of the working directory that Ray made for this job" in job.stdout
    assert "nothing was started" in job.stdout


@pytest.mark.parametrize("token", ["0" * 64, None], ids=["another", "none"])
def test_a_wrong_token_reads_as_a_wrong_token(head: Head, token: str | None, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token or "")
    environment = os.environ | {
        "RAY_ADDRESS": head.address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
    }
    refused = subprocess.run(
        ripieno("run", f"{EXAMPLES}/train.yaml", "--check"),
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr
    assert f"the Ray cluster at '{head.address}' does not let this process in" in refused.stderr
    assert "no Ray cluster" not in refused.stderr
