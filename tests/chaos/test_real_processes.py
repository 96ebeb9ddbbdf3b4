"""Ten seeded schedules of faults, done to a run of real processes. One of them: `pytest -k seed3`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from mlflow import MlflowClient

from orchestrator.assemble import core_of
from orchestrator.outcome_file import load_outcome
from orchestrator.records import Result, Wake
from orchestrator.replay import actions_of
from orchestrator.spec import load
from orchestrator.tracking.points import Point
from orchestrator.verify import replay
from tests.support.chaos.schedules import OF_MLFLOW, SCHEDULES, schedule
from tests.support.chaos.stage import Stage
from tests.support.chaos.troubles import TROUBLES
from tests.support.faults import Fault
from tests.support.mlflow_server import MlflowServer
from tests.support.proxy import Proxy
from tests.support.tracking import points_of, stored_points, until


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def test_the_schedules_hold_the_whole_list() -> None:
    assert {fault for seed in range(SCHEDULES) for fault in schedule(seed)} == set(Fault) == set(TROUBLES)


@pytest.mark.parametrize("seed", range(SCHEDULES), ids=lambda seed: f"seed{seed}")
@pytest.mark.timeout(600)
def test_whatever_happens_nothing_journalled_is_lost_and_nothing_is_left_behind(
    tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    faults, random = schedule(seed), Random(seed)
    tracked: MlflowServer | None = None
    if set(faults) & set(OF_MLFLOW):
        tracked = request.getfixturevalue("mlflow_server")
        until(tracked.healthy, 120)
    with Stage(tmp_path, f"chaos-{seed}", Proxy(f"127.0.0.1:{tracked.port}") if tracked else None) as stage:
        for fault in faults:
            stage.until_more(lambda: len(stage.events()), random.randint(2, 8))
            TROUBLES[fault](stage, random)
        stage.let_go()
        expected = "failed" if Fault.NON_FINITE_FROM_ALL in faults else "done"
        assert stage.ended() == {"done": 0, "failed": 1}[expected], stage.said()
        require_as_its_replay(stage, expected)
        require_counted_once(stage)
        if tracked is not None:
            require_recorded(stage, tracked)
        for guest in stage.guests.values():
            guest.wait(60)  # the engine's goodbye ends it
        assert stage.left_behind() == []


def require_as_its_replay(stage: Stage, expected: str) -> None:
    outcome = load_outcome(stage.files.path)
    assert outcome is not None
    assert outcome.outcome == expected, outcome.reason
    again = replay(stage.files.path)
    assert again.differing == ()
    if expected == "done":
        assert again.weights_sha256 == again.journalled_sha256 == outcome.weights_sha256 != ""


def require_counted_once(stage: Stage) -> None:
    """Each attempt has one result, whatever was sent twice."""
    attempts = Counter((event.work_id, event.attempt) for event in stage.events() if isinstance(event, Result))
    assert [attempt for attempt, times in attempts.items() if times > 1] == []


def require_recorded(stage: Stage, server: MlflowServer) -> None:
    """MLflow has every figure of the journal, and none twice."""
    outcome = load_outcome(stage.files.path)
    assert outcome is not None
    wakes = [record for record in stage.records() if isinstance(record, Wake)]
    history = list(actions_of(core_of(load(stage.files.spec)), wakes))
    stored = Counter(map(_figure, stored_points(MlflowClient(server.uri), outcome.mlflow_run_id)))
    wanted = Counter(map(_figure, points_of(history)))
    assert wanted
    assert {figure: stored[figure] for figure in wanted} == wanted


def _figure(point: Point) -> tuple[str, int, float]:
    return point.key, point.step, point.value
