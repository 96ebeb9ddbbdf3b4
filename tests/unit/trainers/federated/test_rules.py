"""What every registered rule of aggregation promises; a new one is tested here by being registered."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec
import pytest
import torch

from tests.unit.trainers.federated.rounds import Federation
from trainers import Tensors, decode, encode, fingerprint
from trainers.aggregation import RULES, make_rule
from trainers.errors import RuleUnknown, WeightsMismatch
from trainers.flat import PARAMETERS

WITHOUT_LEARNING: Mapping[str, Mapping[str, Any]] = {"fedlaw": {"epochs": 0}, "fine_tuning": {"epochs": 0}}
"""Options with which a rule that learns on the proxy only averages."""

Sent = dict[int, tuple[str, float, Tensors]]


def rule(name: str) -> dict[str, Any]:
    return {"name": name}


def averaging(name: str) -> dict[str, Any]:
    return {"name": name, **WITHOUT_LEARNING.get(name, {})}


def sent_by(federation: Federation, clients: int) -> tuple[Sent, dict[str, Tensors]]:
    """What some clients send, with what else the rule needs."""
    sent, further = {}, {}
    for client in range(clients):
        outputs, metrics = federation.local_update(client)
        sent[federation.work_id] = (str(client), metrics["samples"], outputs["update"])
        if "client" in outputs:
            further[f"client.{federation.work_id}"] = outputs["client"]
    return sent, further


@pytest.fixture(params=sorted(RULES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("architecture", ["mlp", "batch norm"])
def test_the_order_of_arrival_changes_no_bit(name: str, architecture: str) -> None:
    federation = Federation(rule(name), architecture=architecture)
    sent, further = sent_by(federation, 4)
    results = []
    for order in (sorted(sent), sorted(sent, reverse=True), [5, 3, 2, 4]):
        federation.work_id = 100
        outputs, metrics = federation.combine({work_id: sent[work_id] for work_id in order}, further)
        results.append(({key: fingerprint(value) for key, value in outputs.items()}, metrics))
    assert results[0] == results[1] == results[2]


def test_a_single_clients_weights_come_through_bit_for_bit(name: str) -> None:
    federation = Federation(averaging(name), architecture="batch norm")
    sent, further = sent_by(federation, 1)
    outputs, _ = federation.combine(sent, further)
    assert fingerprint(outputs["weights"]) == fingerprint(sent[2][2])


def test_clients_that_did_not_move_leave_the_weights_where_they_are(name: str) -> None:
    federation = Federation(averaging(name), architecture="batch norm")
    still = {PARAMETERS: torch.zeros_like(federation.weights[PARAMETERS])}
    sent: Sent = {number: (str(number), 10.0 * number, federation.weights) for number in (1, 2, 3)}
    outputs, metrics = federation.combine(sent, {f"client.{number}": still for number in sent})
    moved = outputs["weights"][PARAMETERS] - federation.weights[PARAMETERS]
    assert moved.abs().max() <= 1e-7
    assert metrics["update_norm"] <= 1e-5


def test_inputs_are_not_modified_and_outputs_are_the_callers(name: str) -> None:
    federation = Federation(rule(name), architecture="batch norm")
    sent, further = sent_by(federation, 3)
    sent = {number: (who, n, decode(b"".join(encode(value)))) for number, (who, n, value) in sent.items()}
    federation.weights = decode(b"".join(encode(federation.weights)))  # read only
    given = [federation.weights, *further.values(), *(value for _, _, value in sent.values())]
    before = [fingerprint(value) for value in given]
    outputs, _ = federation.combine(sent, further)
    after = {key: fingerprint(value) for key, value in outputs.items()}
    assert [fingerprint(value) for value in given] == before
    federation.weights = outputs["weights"]
    federation.local_update(0)
    assert {key: fingerprint(value) for key, value in outputs.items()} == after


def test_float_buffers_lie_between_the_clients_and_others_come_from_the_lowest_work_id(name: str) -> None:
    federation = Federation(rule(name), architecture="batch norm")
    sent, further = sent_by(federation, 4)
    outputs, _ = federation.combine(sent, further)
    tracked = "buffer.2.num_batches_tracked"
    if name == "fine_tuning":
        assert outputs["weights"][tracked] > sent[2][2][tracked]  # it goes on training
        return
    for buffer in ("buffer.2.running_mean", "buffer.2.running_var"):
        values = torch.stack([value[buffer] for _, _, value in sent.values()])
        mean = outputs["weights"][buffer]
        assert bool((mean >= values.amin(dim=0) - 1e-6).all())
        assert bool((mean <= values.amax(dim=0) + 1e-6).all())
    assert outputs["weights"][tracked] == sent[2][2][tracked]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_is_left_out(name: str, bad: float) -> None:
    federation = Federation(rule(name), architecture="batch norm")
    sent, further = sent_by(federation, 3)
    federation.work_id = 100
    expected, _ = federation.combine({number: sent[number] for number in (2, 4)}, further)
    poisoned = {**sent[3][2], PARAMETERS: sent[3][2][PARAMETERS].clone()}
    poisoned[PARAMETERS][7] = bad
    federation.work_id = 100
    outputs, metrics = federation.combine({**sent, 3: ("1", 60.0, poisoned)}, further)
    assert metrics["dropped"] == 1
    assert metrics["counted"] == 2
    for key, value in expected.items():
        assert fingerprint(outputs[key]) == fingerprint(value)


@pytest.mark.parametrize("samples", [0.0, -3.0, float("nan"), float("inf")])
def test_an_update_of_no_countable_samples_is_left_out(name: str, samples: float) -> None:
    federation = Federation(rule(name))
    sent, further = sent_by(federation, 2)
    who, _, value = sent[2]
    _, metrics = federation.combine({**sent, 2: (who, samples, value)}, further)
    assert metrics["dropped"] == 1
    assert isfinite(metrics["update_norm"])


def test_a_round_without_a_finite_update_leaves_all_as_it_is(name: str) -> None:
    federation = Federation(rule(name), architecture="batch norm")
    federation.round([0, 1])
    broken = {
        key: torch.full_like(value, float("nan")) for key, value in federation.weights.items() if key == PARAMETERS
    }
    broken = {**federation.weights, **broken}
    state = {"server": federation.server} if federation.server else {}
    outputs, metrics = federation.combine({1: ("ann", 9.0, broken), 2: ("bob", 9.0, broken)}, state)
    assert fingerprint(outputs["weights"]) == fingerprint(federation.weights)
    assert {key: fingerprint(outputs[key]) for key in state} == {key: fingerprint(state[key]) for key in state}
    assert (metrics["counted"], metrics["dropped"], metrics["update_norm"]) == (0, 2, 0)


def test_an_update_of_another_model_is_refused(name: str) -> None:
    federation = Federation(rule(name))
    foreign = Federation(rule(name), architecture="cnn").weights
    with pytest.raises(WeightsMismatch, match=r"update\.9 holds"):
        federation.combine({9: ("0", 9.0, foreign)}, {})


def test_it_counts_clients_samples_and_how_far_the_weights_went(name: str) -> None:
    federation = Federation(rule(name))
    sent, further = sent_by(federation, 3)
    outputs, metrics = federation.combine(sent, further)
    assert metrics["counted"] == 3
    assert metrics["samples"] == sum(samples for _, samples, _ in sent.values())
    moved = (outputs["weights"][PARAMETERS].double() - federation.weights[PARAMETERS].double()).norm().item()
    assert metrics["update_norm"] == pytest.approx(moved, rel=1e-9)
    assert -1 <= metrics["coherence"] <= 1
    assert all(isfinite(figure) for figure in metrics.values())


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    with pytest.raises(RuleUnknown, match="did you mean 'fedavg'"):
        make_rule({"name": "fedavgg"})


def test_an_option_that_a_rule_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="shrink"):
        make_rule({"name": name, "shrink": 0.5})
