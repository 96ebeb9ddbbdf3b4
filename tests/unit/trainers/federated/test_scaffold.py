"""SCAFFOLD: its identities, and the optimum of heterogeneous clients, which FedAvg misses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.trainers.federated.quadratics import Quadratics
from tests.unit.trainers.federated.rounds import Federation
from trainers import fingerprint
from trainers.data.partition import Iid
from trainers.flat import PARAMETERS

CLIENTS, SIZE, LR = 5, 3, 0.1
SCAFFOLD: dict[str, Any] = {"name": "scaffold"}


class OneSampleEach(Federation):
    """Quadratic clients; a local epoch is a step."""

    def local_update(self, client: int) -> Any:
        inputs = {"weights": self.weights}
        if self.control and self.server:
            inputs["server"] = self.server
        if self.control and client in self.states:
            inputs["client"] = self.states[client]
        partition = {"kind": "iid", "clients": self.clients, "seed": 1}
        params = {
            "client": str(client),
            "simulated": {"number": client, "partition": partition},
            "epochs": self.epochs,
            "batch_size": 1,
            "optimizer": self.optimizer,
            "control": self.control,
        }
        return self.run("local_update", inputs, params)


def quadratics(seed: int, *, rule: dict[str, Any], steps: int, momentum: float = 0.0) -> OneSampleEach:
    generator = torch.Generator().manual_seed(seed)
    curvatures = torch.rand(CLIENTS, SIZE, generator=generator, dtype=torch.float64) + 0.5
    targets = torch.randn(CLIENTS, SIZE, generator=generator, dtype=torch.float64)
    optimizer = {"name": "sgd", "lr": LR, **({"momentum": momentum} if momentum else {})}
    task = Quadratics(curvatures, targets)
    return OneSampleEach(rule, CLIENTS, task=task, model={}, epochs=steps, optimizer=optimizer)


def task_of(federation: Federation) -> Quadratics:
    assert isinstance(federation.task, Quadratics)
    return federation.task


def mean_of_controls(federation: Federation) -> Tensor:
    """Absent clients remember zero."""
    total = sum(state[PARAMETERS] for state in federation.states.values())
    assert isinstance(total, Tensor)
    return total / federation.clients


cohorts = st.lists(st.sets(st.integers(0, CLIENTS - 1), min_size=1), min_size=1, max_size=5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), cohorts, st.integers(1, 4), st.sampled_from([0.0, 0.9]), st.sampled_from([1.0, 0.3]))
def test_the_servers_control_is_the_mean_of_all_clients_whoever_takes_part(
    seed: int, cohorts: Sequence[set[int]], steps: int, momentum: float, server_lr: float
) -> None:
    rule = {**SCAFFOLD, "server_lr": server_lr}
    federation = quadratics(seed, rule=rule, steps=steps, momentum=momentum)
    for cohort in cohorts:
        federation.round(sorted(cohort))
        torch.testing.assert_close(federation.server[PARAMETERS], mean_of_controls(federation), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_on_networks_too_the_servers_control_is_the_mean_of_the_clients(momentum: float) -> None:
    optimizer = {"name": "sgd", "lr": 0.05, "momentum": momentum}
    federation = Federation(SCAFFOLD, architecture="batch norm", optimizer=optimizer)
    for cohort in ([0, 2], [1, 2, 3], [0]):
        federation.round(cohort)
        control = federation.server[PARAMETERS]
        torch.testing.assert_close(control, mean_of_controls(federation), rtol=1e-4, atol=1e-6)
        assert control.shape == federation.weights[PARAMETERS].shape


def test_with_no_controls_yet_a_round_is_unweighted_averaging_bit_for_bit() -> None:
    equal = Federation({"name": "fedavg"}, clients=4, architecture="batch norm", alpha=1.0)
    ours = Federation(SCAFFOLD, clients=4, architecture="batch norm", alpha=1.0)
    sent = {}
    for client in range(4):
        outputs, _ = equal.local_update(client)
        sent[equal.work_id] = (str(client), 1.0, outputs["update"])
    averaged, _ = equal.combine(sent, {})
    ours.round([0, 1, 2, 3])
    assert fingerprint(ours.weights) == fingerprint(averaged["weights"])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1.0, 0.5, 2.0]))
def test_one_step_of_all_clients_is_a_step_of_gradient_descent(seed: int, server_lr: float) -> None:
    federation = quadratics(seed, rule={**SCAFFOLD, "server_lr": server_lr}, steps=1)
    task = task_of(federation)
    for _ in range(4):
        before = federation.weights[PARAMETERS]
        gradient = (task.curvatures * (before - task.targets)).mean(dim=0)
        federation.round(range(CLIENTS))
        expected = before - server_lr * LR * gradient
        torch.testing.assert_close(federation.weights[PARAMETERS], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_it_reaches_the_optimum_of_heterogeneous_clients_where_averaging_stops_beside_it(momentum: float) -> None:
    distances = {}
    for rule in (SCAFFOLD, {"name": "fedavg"}):
        federation = quadratics(7, rule=rule, steps=4, momentum=momentum)
        for _ in range(150):
            federation.round(range(CLIENTS))
        optimum = task_of(federation).optimum
        distances[rule["name"]] = (federation.weights[PARAMETERS] - optimum).norm().item()
    assert distances["scaffold"] < 1e-12
    assert distances["fedavg"] > 1e-3


def test_it_reaches_the_optimum_with_half_of_the_clients_a_round() -> None:
    federation = quadratics(3, rule=SCAFFOLD, steps=4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        federation.round(torch.randperm(CLIENTS, generator=generator)[:3].tolist())
    assert (federation.weights[PARAMETERS] - task_of(federation).optimum).norm() < 1e-6


def test_each_client_has_one_sample() -> None:
    federation = quadratics(0, rule=SCAFFOLD, steps=1)
    assert [len(part) for part in federation.context.clients(Iid(CLIENTS, 1))] == [1] * CLIENTS


def test_a_client_without_a_control_is_left_out() -> None:
    federation = quadratics(0, rule=SCAFFOLD, steps=2)
    (first, _), (second, _) = federation.local_update(0), federation.local_update(1)
    sent = {2: ("0", 1.0, first["update"]), 3: ("1", 1.0, second["update"])}
    outputs, metrics = federation.combine(sent, {"client.3": second["client"]})
    assert metrics["dropped"] == 1
    assert fingerprint(outputs["weights"]) == fingerprint(second["update"])
