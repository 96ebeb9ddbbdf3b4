"""An engine on one host and its workers on two others: own networks, own shared memory, and a cable that is pulled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.outcome_file import load_outcome
from orchestrator.verify import replay
from tests.support.chaos.stage import Stage
from tests.support.chaos.troubles import answers, joined, left
from tests.support.hosts import ENGINE, Hosts, may_make_hosts

pytestmark = pytest.mark.skipif(not may_make_hosts(), reason="network namespaces need root")


class Apart(Stage):
    """Only the aggregator is launched on the engine's host."""

    host = ENGINE
    launched = ("aggregator-0",)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Hosts(others=2) as hosts:
        yield hosts


def test_values_cross_between_hosts_and_a_cable_may_be_pulled(hosts: Hosts, tmp_path: Path) -> None:
    stage = Apart(tmp_path, "apart")
    stage.within = hosts.engines
    with stage:
        stage.until(lambda: joined(stage, "aggregator-0")() == 1)
        for number in (1, 2):
            stage.invite(f"worker-{number}", hosts.on(number))
        for number in (1, 2):
            stage.until_more(answers(stage, f"worker-{number}"), 3)
            assert hosts.shared_memory(number) != [], "its values lie in its own"

        hosts.cut(2)
        stage.until(lambda: left(stage, "worker-2")() == 1)
        stage.until_more(answers(stage, "worker-1"), 3)
        hosts.heal(2)
        stage.until(lambda: joined(stage, "worker-2")() == 2)
        stage.until_more(answers(stage, "worker-2"), 3)

        stage.let_go()
        assert stage.ended() == 0, stage.said()
        for guest in stage.guests.values():
            assert guest.wait(60) == 0
        for worker, shares in (("aggregator-0", True), ("worker-1", False), ("worker-2", False)):
            assert any(f"shares_memory={shares} worker={worker}" in line for line in stage.said().splitlines())
        outcome = load_outcome(stage.files.path)
        assert outcome is not None
        assert outcome.outcome == "done"
        again = replay(stage.files.path)
        assert again.same
        assert again.weights_sha256 == outcome.weights_sha256 != ""
        assert [hosts.shared_memory(number) for number in (1, 2)] == [[], []]
        assert stage.left_behind() == []
