"""A finished run's journal as the world of a simulation."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import simulate
from orchestrator.lifecycle import start
from orchestrator.simulation import CannotSimulate
from orchestrator.spec import Spec
from tests.support.runs import digits_spec, virtual


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    return digits_spec(tmp_path_factory.mktemp("state"), quorum="dynamic", epochs=4)


@pytest.fixture(scope="module")
def folder(spec: Spec) -> Path:
    return start(spec, open_pool=virtual()).folder


def test_times_and_the_curve_are_those_of_the_run(spec: Spec, folder: Path) -> None:
    result = simulate(spec, trace=folder)
    said = dict(result.assumed)
    assert said["gradients"].startswith("measured: drawn from the round trips of 4 workers")
    assert "steps of run" in said["learning"]
    assert result == simulate(spec, trace=folder)  # nothing was timed here
    dynamic, full = result.row("dynamic"), result.row("full")
    assert dynamic.target_s is not None
    assert full.target_s is not None
    assert dynamic.target_s < full.target_s  # one of the four was five times slower


def test_more_workers_than_the_run_had_are_like_its_own(spec: Spec, folder: Path) -> None:
    few, many = (simulate(spec, trace=folder, workers=workers).row("full") for workers in (4, 16))
    assert many.samples_per_s > 2 * few.samples_per_s


def test_with_another_optimizer_times_are_traced_and_the_curve_is_measured_here(spec: Spec, folder: Path) -> None:
    other = digits_spec(Path(spec.state), quorum="dynamic", epochs=1, optimizer={"name": "adamw", "lr": 0.01})
    assert "measured here" in dict(simulate(other, trace=folder).assumed)["learning"]


def test_a_run_of_local_steps_is_traced_for_the_same_local_steps(spec: Spec) -> None:
    local = digits_spec(Path(spec.state), epochs=2, local_steps=4)
    folder = start(local, open_pool=virtual()).folder
    result = simulate(local, trace=folder, compute=True)
    assert dict(result.assumed)["gradients"].startswith("measured: drawn from the round trips of 4 workers")
    with pytest.raises(CannotSimulate, match=r"train.local_steps 4, this spec 1"):
        simulate(spec, trace=folder)


def test_a_run_whose_late_gradients_were_interrupted_is_no_trace(spec: Spec) -> None:
    interrupted = digits_spec(Path(spec.state), epochs=1, late="interrupt", micro_batch_size=10)
    folder = start(interrupted, open_pool=virtual()).folder
    with pytest.raises(CannotSimulate, match=r"the longest are missing; trace a run with late: drop, or say --latency"):
        simulate(interrupted, trace=folder)


def test_a_trace_of_other_batches_is_refused(spec: Spec, folder: Path) -> None:
    with pytest.raises(CannotSimulate, match=r"train.batch_size 50, this spec 20"):
        simulate(digits_spec(Path(spec.state), batch_size=20), trace=folder)
