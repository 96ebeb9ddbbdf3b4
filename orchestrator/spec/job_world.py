"""Where a Ray job must not keep its runs: in its own folder, which goes with it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint

COPIES = ("runtime_resources", "working_dir_files")
"""Below Ray's temporary folder: copies of what was submitted with `--working-dir`."""


def job_world(spec: Spec) -> Iterator[Complaint]:
    """Whether the state folder lies in the copy of a working directory that Ray made for a job."""
    state = Path(spec.state).resolve()
    if COPIES in pairwise(state.parts):
        yield Complaint(
            (("state",),),
            f"state: {spec.state} lies in the copy of the working directory that Ray made for this job ({state}), and "
            "which it removes with it: nothing of the run would be left to resume. Give a folder on a disk that stays, "
            "and that every node sees where the job may run: --set state=/shared/runs.",
        )
