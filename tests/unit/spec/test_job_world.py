"""A Ray job is told where its runs would be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec.job_world import job_world
from orchestrator.spec.models import Spec

COPY = "ray/session_1/runtime_resources/working_dir_files/_ray_pkg_4e7d"


@pytest.mark.parametrize("state", ["./runs", "deep/runs", "../_ray_pkg_4e7d/runs"])
def test_a_state_folder_in_the_jobs_own_copy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    (tmp_path / COPY).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / COPY)
    (complaint,) = job_world(Spec(task="a:B", state=state))
    assert complaint.about == (("state",),)
    assert complaint.message.startswith(f"state: {state} lies in the copy of the working directory that Ray made")
    assert "--set state=/shared/runs" in complaint.message


def test_any_other_is_fine_in_a_job_and_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(job_world(Spec(task="a:B")))
    (tmp_path / COPY).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / COPY)
    assert not list(job_world(Spec(task="a:B", state=str(tmp_path / "runs"))))
