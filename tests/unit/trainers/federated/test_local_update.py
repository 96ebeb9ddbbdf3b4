"""A client's local epochs: an ordinary loop, on its own samples, with SCAFFOLD's part where it is asked for."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.unit.trainers.federated.rounds import PLAIN, Federation
from tests.unit.trainers.tasks import ADAMW, ARCHITECTURES, SGD, Digits
from trainers import Context, Split, decode, encode, fingerprint, run_kind, unflatten
from trainers.data.partition import Dirichlet
from trainers.errors import ClientDiverged, OptimizerInvalid, PartitionImpossible
from trainers.flat import PARAMETERS
from trainers.local_training import effective_steps
from trainers.shuffled import Shuffled

FEDAVG = {"name": "fedavg"}


def own_samples(federation: Federation, client: int) -> torch.Tensor:
    """The indices that a client trained on in the work before."""
    return federation.context.clients(Dirichlet(federation.clients, 1, federation.alpha, 5))[client]


@pytest.mark.parametrize("optimizer", [PLAIN, SGD, ADAMW], ids=["plain", "momentum", "adamw"])
@pytest.mark.parametrize("architecture", ["mlp", "cnn", "batch norm"])
def test_it_equals_the_plain_loop_bit_for_bit(architecture: str, optimizer: dict[str, Any]) -> None:
    federation = Federation(FEDAVG, architecture=architecture, optimizer=optimizer, epochs=3)
    outputs, metrics = federation.local_update(2)
    context = federation.context.for_work(federation.work_id)
    model = unflatten(ARCHITECTURES[architecture](), federation.weights)
    options = {name: value for name, value in optimizer.items() if name != "name"}
    live = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer["name"]](model.parameters(), **options)
    data = Shuffled(context, Split.TRAIN, own_samples(federation, 2), 64)
    steps, last = 0, []
    for epoch in range(3):
        for size, batch in data.epoch(epoch):
            live.zero_grad()
            loss = Digits().loss(model, batch)
            torch.autograd.backward(loss)
            live.step()
            steps += 1
            last += [loss.item()] * size if epoch == 2 else []
    ours = unflatten(ARCHITECTURES[architecture](), outputs["update"])
    assert fingerprint(ours.state_dict()) == fingerprint(model.state_dict())
    assert metrics["steps"] == steps
    assert metrics["samples"] == len(own_samples(federation, 2)) == len(last)
    assert metrics["loss"] == pytest.approx(sum(last) / len(last), rel=1e-9)
    moved = (outputs["update"][PARAMETERS].double() - federation.weights[PARAMETERS].double()).norm().item()
    assert metrics["update_norm"] == pytest.approx(moved, rel=1e-9)


def test_federated_averaging_over_one_client_is_its_local_training_bit_for_bit() -> None:
    federated, alone = (Federation(FEDAVG, clients=1, architecture="batch norm") for _ in range(2))
    federated.round([0])
    outputs, metrics = alone.local_update(0)
    assert metrics["samples"] == 1300
    assert fingerprint(federated.weights) == fingerprint(outputs["update"])


def test_a_real_site_trains_on_all_that_it_has() -> None:
    federation = Federation(FEDAVG)
    params = {"client": "ann", "simulated": None, "epochs": 1, "batch_size": 64, "optimizer": PLAIN}
    _, metrics = federation.run("local_update", {"weights": federation.weights}, params)
    assert metrics["samples"] == 1300
    assert metrics["steps"] == 21


@pytest.mark.parametrize("architecture", ["mlp", "dropout"])
def test_equal_work_gives_equal_bits_whatever_the_process_did_before(architecture: str) -> None:
    fresh, used = (Federation(FEDAVG, architecture=architecture) for _ in range(2))
    used.local_update(3)
    used.round([1, 2])
    used.weights, used.work_id = fresh.weights, fresh.work_id
    one, other = fresh.local_update(0), used.local_update(0)
    assert fingerprint(one[0]["update"]) == fingerprint(other[0]["update"])
    assert one[1] == other[1]


def test_no_input_is_modified() -> None:
    federation = Federation({"name": "scaffold"}, architecture="batch norm")
    federation.round([0, 1])
    federation.weights = decode(b"".join(encode(federation.weights)))
    federation.server = decode(b"".join(encode(federation.server)))
    federation.states = {client: decode(b"".join(encode(state))) for client, state in federation.states.items()}
    given_values = [federation.weights, federation.server, *federation.states.values()]
    before = [fingerprint(value) for value in given_values]
    federation.local_update(0)
    assert [fingerprint(value) for value in given_values] == before


def test_an_optimizers_memory_does_not_outlive_the_work() -> None:
    federation = Federation(FEDAVG, optimizer=SGD)
    first, _ = federation.local_update(0)
    federation.work_id -= 1
    again, _ = federation.local_update(0)
    assert fingerprint(first["update"]) == fingerprint(again["update"])


@given(st.integers(2, 80), st.integers(1, 40), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_an_epoch_shows_each_sample_once_and_never_one_alone(samples: int, batch_size: int, epoch: int) -> None:
    indices = torch.arange(100, 100 + samples)
    context = Context(Digits(), seed=5)
    data = Shuffled(context, Split.TRAIN, indices, batch_size)
    sizes = [size for size, _ in data.epoch(epoch)]
    assert sum(sizes) == samples
    assert all(size == batch_size for size in sizes[:-1]) or sizes[-1] > batch_size
    assert batch_size == 1 or min(sizes) > 1
    assert max(sizes) <= batch_size + 1


def test_another_epoch_and_another_work_have_another_order() -> None:
    context = Context(Digits(), seed=5)
    orders = [
        Shuffled(context.for_work(work), Split.TRAIN, torch.arange(50), 50).epoch(epoch)
        for work, epoch in ((1, 0), (1, 1), (2, 0))
    ]
    labels = [next(order)[1][1].tolist() for order in orders]
    assert len({tuple(order) for order in labels}) == 3


@pytest.mark.parametrize("lr", [1e20, 1e30])
def test_a_client_that_diverges_is_an_error_with_its_name_that_survives_pickling(lr: float) -> None:
    federation = Federation(FEDAVG, optimizer={"name": "sgd", "lr": lr}, epochs=4, batch_size=16)
    with pytest.raises(ClientDiverged, match="the loss of client 1 became NaN or Inf by batch") as raised:
        federation.local_update(1)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_machine_with_too_few_samples_says_so() -> None:
    with pytest.raises(PartitionImpossible, match="there are 1,300"):
        Federation(FEDAVG, clients=500).local_update(1)


def test_an_optimizer_that_does_not_exist_is_refused() -> None:
    federation = Federation(FEDAVG)
    federation.optimizer = {"name": "sdg", "lr": 0.1}
    with pytest.raises(OptimizerInvalid, match="did you mean"):
        federation.local_update(1)


SGDS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.5, "nesterov": True},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.0, "dampening": 0.3},
]


@pytest.mark.parametrize("options", SGDS, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_effective_steps_are_how_far_sgd_goes_along_a_constant_gradient(options: dict[str, Any], steps: int) -> None:
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=0.1, **options)
    for _ in range(steps):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert -parameter.item() == pytest.approx(0.1 * effective_steps({"lr": 0.1, **options}, steps), rel=1e-12)


def test_a_momentum_of_nine_tenths_goes_nine_steps_in_four() -> None:
    assert effective_steps({"momentum": 0.9}, 4) == pytest.approx(9.049)


def test_frozen_parameters_do_not_move() -> None:
    class HalfFrozen(Digits):
        def model(self, architecture: str = "mlp") -> nn.Module:
            model = super().model(architecture)
            next(model.parameters()).requires_grad_(False)
            return model

    for rule in (FEDAVG, {"name": "scaffold"}):
        federation = Federation(rule, task=HalfFrozen())
        outputs, _ = federation.local_update(0)
        moved = outputs["update"][PARAMETERS] - federation.weights[PARAMETERS]
        assert not moved[: 64 * 31].any()
        assert moved[64 * 31 :].any()


def test_unknown_params_of_a_partition_are_refused_by_name() -> None:
    federation = Federation(FEDAVG)
    params = {"client": "0", "simulated": {"number": 0, "partition": {"kind": "shards"}}}
    with pytest.raises(Exception, match="shards"):
        run_kind("local_update", {"weights": federation.weights}, params, federation.context)
