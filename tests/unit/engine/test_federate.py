"""Federations from spec to model on pools in this process: what they compute, leave behind, and how they replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orchestrator.lifecycle import start
from orchestrator.pools.virtual import Faults
from orchestrator.spec import Spec
from orchestrator.verify import replay
from tests.support.runs import inline, virtual

STORM = Faults(crash=0.02, back_s=1.5, lost=0.002, lost_after_s=4.0, duplicate=0.1, slow=0.1)


def federated(state: Path, **federate: Any) -> Spec:
    """Three rounds of ten clients with digits on four workers, untracked; federate: what is to be otherwise."""
    settings: dict[str, Any] = {
        "workers": 4,
        "clients": 10,
        "rounds": 3,
        "partition": {"dirichlet": {"alpha": 0.5}},
        "local": {"epochs": 2, "batch_size": 20, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}},
        "proxy": {"samples": 50},
        **federate,
    }
    return Spec.model_validate(
        {
            "task": "tests.support.digits_task:Digits",
            "federate": settings,
            "state": str(state),
            "tracking": {"enabled": False},
        }
    )


RULES: dict[str, dict[str, Any]] = {
    "fedavg": {"aggregation": "fedavg"},
    "fedlaw": {"aggregation": "fedlaw"},
    "fine tuning": {"aggregation": "fine_tuning"},
    "scaffold, half of the clients": {
        "aggregation": "scaffold",
        "clients_per_round": 5,
        "rounds": 8,
        "local": {"epochs": 2, "batch_size": 20, "optimizer": {"name": "sgd", "lr": 0.5}},
    },
    "buffered": {"aggregation": {"fedbuff": {"buffer": 3}}, "rounds": 8},
    "over-sampled": {"clients_per_round": 5, "over_sample": 1.6},
    "a deadline": {"deadline_s": 2.0, "at_least": 3},
    "rate": {"quorum": "rate"},
    "dynamic": {"quorum": "dynamic", "clients_per_round": 4},
}


@pytest.mark.parametrize("changes", RULES.values(), ids=list(RULES))
def test_a_stormy_federation_learns_and_gives_the_bits_of_its_replay(tmp_path: Path, changes: dict[str, Any]) -> None:
    outcome = start(federated(tmp_path, **changes), open_pool=virtual(STORM))
    assert outcome.outcome == "done", outcome.reason
    again = replay(outcome.folder)
    assert again.same
    assert again.weights_sha256 == outcome.weights_sha256 != ""
    assert outcome.metrics["test_accuracy"] > 0.25  # by chance 0.1; a few rounds are few


def test_equal_specs_give_equal_weights_and_another_seed_does_not(tmp_path: Path) -> None:
    spec = federated(tmp_path)
    weights = [start(each, open_pool=inline).weights_sha256 for each in (spec, spec)]
    assert weights[0] == weights[1]
    assert start(spec.model_copy(update={"seed": 1}), open_pool=inline).weights_sha256 != weights[0]


def test_the_partition_and_the_rounds_are_left_as_tables_and_pictures(tmp_path: Path) -> None:
    outcome = start(federated(tmp_path), open_pool=inline)
    results = outcome.folder / "results"
    pictures = {file.name for file in results.iterdir() if file.read_bytes().startswith(b"\x89PNG")}
    assert pictures == {"partition.png", "rounds.png"}
    with pa.OSFile(str(results / "partition.arrow")) as file:
        partition = pa.ipc.open_file(file).read_all().to_pylist()
    assert [row["client"] for row in partition] == list(range(10))
    assert sorted(index for row in partition for index in row["samples"]) == list(range(1200))
    assert all(sum(row[f"label.{label}"] for label in range(10)) == len(row["samples"]) >= 10 for row in partition)
    with pa.OSFile(str(results / "rounds.arrow")) as file:
        rounds = pa.ipc.open_file(file).read_all().to_pylist()
    assert [row["round"] for row in rounds] == [1, 2, 3]
    assert all(sum(row[f"lambda.{client}"] for client in range(10)) == pytest.approx(1) for row in rounds)
    assert {"gamma", "coherence", "update_norm", "loss_sd", "proxy_loss_after"} <= rounds[0].keys()
    assert dict(outcome.rows)["client updates"] == "30 in 3 rounds"


def test_with_one_client_that_has_all_samples_it_is_training_by_that_client(tmp_path: Path) -> None:
    outcome = start(federated(tmp_path, clients=1, partition="iid", aggregation="fedavg"), open_pool=inline)
    assert outcome.metrics["test_accuracy"] > 0.85


def test_fedlaw_without_epochs_on_the_server_is_fedavg_bit_for_bit(tmp_path: Path) -> None:
    rules: list[Any] = [{"fedlaw": {"epochs": 0}}, "fedavg", {"fine_tuning": {"epochs": 0}}]
    hashes = {start(federated(tmp_path, aggregation=rule), open_pool=inline).weights_sha256 for rule in rules}
    assert len(hashes) == 1


def test_it_goes_on_from_a_model_that_was_there_before(tmp_path: Path) -> None:
    first = start(federated(tmp_path, rounds=4), open_pool=inline, name="before")
    assert first.model_file is not None
    for source in ("run:before", str(first.model_file)):
        second = start(federated(tmp_path, rounds=1, start=source), open_pool=inline)
        assert second.metrics["test_accuracy"] > first.metrics["test_accuracy"] - 0.1
        assert replay(second.folder).same
