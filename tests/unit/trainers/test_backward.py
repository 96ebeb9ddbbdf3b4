"""Gradients in micro-batches and in less than float32, local steps, and range tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.unit.trainers.tasks import ADAMW, SGD, Digits, Training
from trainers import Split, fingerprint, run_kind
from trainers.errors import Interrupted, NonFinite
from trainers.flat import PARAMETERS


def gradient(training: Training, **how: Any) -> tuple[torch.Tensor, float]:
    params = {"epoch": 0, "block": 2, "batch_size": 60, **how}
    outputs, metrics = training.run("gradient", {"weights": training.weights}, params)
    return outputs["gradient"][PARAMETERS], metrics["loss"]


@given(size=st.integers(1, 60))
def test_micro_batches_change_nothing_but_rounding(size: int) -> None:
    whole, loss = gradient(Training("cnn"))
    parts, loss_of_parts = gradient(Training("cnn"), micro_batch_size=size)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-7)
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)


def test_one_micro_batch_is_the_batch_bit_for_bit() -> None:
    assert torch.equal(gradient(Training("cnn"), micro_batch_size=60)[0], gradient(Training("cnn"))[0])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_and_its_gradients_stay_float32(precision: str) -> None:
    whole, loss = gradient(Training("mlp"))
    half, half_loss = gradient(Training("mlp"), precision=precision, loss_scale=1024.0)
    assert half.dtype == torch.float32
    assert half_loss == pytest.approx(loss, rel=0.02)
    assert not torch.equal(half, whole)
    assert nn.functional.cosine_similarity(half, whole, dim=0) > 0.999


@given(power=st.integers(1, 20))
def test_the_scale_of_the_loss_cancels_exactly_in_float32(power: int) -> None:
    assert torch.equal(gradient(Training("mlp"), loss_scale=2.0**power)[0], gradient(Training("mlp"))[0])


def test_a_gradient_that_overflows_is_computed_again_at_half_the_scale_until_it_fits() -> None:
    params = {"epoch": 0, "block": 2, "batch_size": 60, "precision": "float16"}
    high, low = Training("dropout"), Training("dropout")
    outputs, metrics = high.run("gradient", {"weights": high.weights}, {**params, "loss_scale": 2.0**40})
    assert 1 < metrics["loss_scale"] < 2.0**40
    at_once, again = low.run("gradient", {"weights": low.weights}, {**params, "loss_scale": metrics["loss_scale"]})
    assert torch.equal(outputs["gradient"][PARAMETERS], at_once["gradient"][PARAMETERS])  # the same dropout, too
    assert metrics == again


def test_a_loss_that_is_not_finite_is_nobodys_overflow() -> None:
    training = Training("mlp")
    training.weights = {**training.weights, PARAMETERS: training.weights[PARAMETERS] * float("nan")}
    with pytest.raises(NonFinite):
        gradient(training, precision="float16", loss_scale=1024.0)


def test_work_that_is_interrupted_stops_between_two_micro_batches() -> None:
    training, looks = Training("mlp"), count(1)
    context = replace(training.context.for_work(9), interrupted=lambda: next(looks) > 3)
    params: Any = {"model": {"architecture": "mlp"}, "epoch": 0, "block": 0, "batch_size": 60, "micro_batch_size": 10}
    with pytest.raises(Interrupted, match="after 3 of 6 micro-batches"):
        run_kind("gradient", {"weights": training.weights}, params, context)


def steps(training: Training, optimizer: dict[str, Any], number: int, **more: Any) -> Any:
    inputs = {"weights": training.weights, **more.pop("inputs", {})}
    params = {"epoch": 0, "block": 0, "batch_size": 20, "steps": number, "optimizer": optimizer, **more}
    return training.run("local_steps", inputs, params)


@pytest.mark.parametrize("optimizer", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_local_steps_are_a_plain_loop(optimizer: dict[str, Any]) -> None:
    training = Training("mlp")
    outputs, metrics = steps(training, optimizer, 5, clip_norm=0.5)
    model = training.context.new_model({"architecture": "mlp"})
    options = {name: value for name, value in optimizer.items() if name != "name"}
    live = (torch.optim.SGD if optimizer is SGD else torch.optim.AdamW)(model.module.parameters(), **options)
    order, losses = training.context.order(0), []
    for number in range(5):
        live.zero_grad()
        loss = Digits().loss(model.module, training.context.batch(Split.TRAIN, order[number * 20 : (number + 1) * 20]))
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.module.parameters(), 0.5)
        live.step()
        losses.append(loss.item())
    moved = training.weights[PARAMETERS] - model.weights()[PARAMETERS]
    assert torch.equal(outputs["gradient"][PARAMETERS], moved)
    assert metrics["loss"] == pytest.approx(sum(losses) / 5, rel=1e-12)
    assert metrics["samples"] == 100


def test_the_inner_optimizer_goes_on_where_it_was() -> None:
    training = Training("mlp")
    ten, _ = steps(training, SGD, 10)
    first, _ = steps(training, SGD, 5)
    after = {**training.weights, PARAMETERS: training.weights[PARAMETERS] - first["gradient"][PARAMETERS]}
    second = training.run(
        "local_steps",
        {"weights": after, "inner": first["inner"]},
        {"epoch": 0, "block": 1, "batch_size": 20, "steps": 5, "optimizer": SGD},
    )[0]
    both = first["gradient"][PARAMETERS] + second["gradient"][PARAMETERS]
    torch.testing.assert_close(both, ten["gradient"][PARAMETERS], rtol=1e-4, atol=1e-7)
    assert fingerprint(second["inner"]) != fingerprint(first["inner"])


def test_one_local_step_of_sgd_and_a_plain_outer_step_is_a_step_along_the_mean_gradient() -> None:
    """DiLoCo with H = 1."""
    inner, outer = {"name": "sgd", "lr": 0.1}, {"name": "sgd", "lr": 1.0}
    local, plain = Training("mlp", optimizer=outer, batch_size=20), Training("mlp", optimizer=inner, batch_size=20)
    for block in range(3):
        pushed, gradients = {}, {}
        for worker in (1, 2, 3):
            where = {"epoch": 0, "block": 3 * block + worker, "batch_size": 20}
            outputs, _ = local.run("local_steps", {"weights": local.weights}, {**where, "steps": 1, "optimizer": inner})
            pushed[worker] = outputs["gradient"]
            gradients[worker] = plain.gradient(0, 3 * block + worker)[0]
        local.weights = local.aggregate(pushed, [20.0] * 3, {}, keep_mean=False)[0]["weights"]
        plain.weights = plain.aggregate(gradients, [20.0] * 3, {}, keep_mean=False)[0]["weights"]
    torch.testing.assert_close(local.weights[PARAMETERS], plain.weights[PARAMETERS], rtol=1e-5, atol=1e-7)


def knee(batch_size: int, **how: Any) -> float:
    training, optimizer = Training("mlp"), {"name": "sgd", "lr": 1.0}
    params = {"batch_size": batch_size, "steps": 60, "low": 1e-4, "high": 100.0, "optimizer": optimizer, **how}
    return training.run("range_test", {"weights": training.weights}, params)[1]["knee"]


def test_larger_batches_may_take_larger_steps() -> None:
    assert 1e-4 < knee(4) < knee(256) < 100.0


@pytest.mark.parametrize("loss_scale", [2.0**10, 2.0**40])
def test_a_range_test_is_not_ended_by_gradients_that_overflow_in_float16(loss_scale: float) -> None:
    assert knee(64, precision="float16", loss_scale=loss_scale) == pytest.approx(knee(64), rel=0.5)
