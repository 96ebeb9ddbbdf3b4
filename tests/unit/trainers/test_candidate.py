"""A candidate is tried on a copy: what is shared stays, and candidates of one update differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from examples.fashion_mnist.task import FashionMnist
from tests.unit.trainers.tasks import ADAMW, SGD, Digits
from tests.unit.trainers.test_supernet import EVERY, LARGEST, SHARE, Searched
from trainers import Context, Split, Tensors, decode, encode, fingerprint, run_kind
from trainers.blocks import block_of
from trainers.flat import PARAMETERS
from trainers.randomness import derive
from trainers.steps import Course, Rule, take_steps

CANDIDATE: dict[str, Any] = {
    "draw": 4,
    "epoch": 2,
    "block": 0,
    "batch_size": 64,
    "steps": 20,
    "start": 0,
    "count": 200,
    "optimizer": {"name": "sgd", "lr": 0.1},
    "clip_norm": None,
    "model": {},
}


def candidate(context: Context, shared: Tensors | None = None, **params: Any) -> Mapping[str, float]:
    inputs = {} if shared is None else {"shared": shared}
    outputs, metrics = run_kind("candidate", inputs, {**CANDIDATE, **params}, context)
    assert not outputs
    return metrics


@pytest.fixture(scope="module")
def shared() -> Tensors:
    outputs, _ = run_kind("share", {}, {**SHARE, "models": [LARGEST], "steps": 10}, Context(Searched(), seed=3))
    return decode(b"".join(encode(outputs["shared"])))  # writing to it would end the process


def test_it_is_a_plain_loop_of_training_and_an_evaluation() -> None:
    context = Context(Digits(), seed=3)
    metrics = candidate(context, model={"architecture": "mlp"}, optimizer=SGD, clip_norm=1.0, block=15)
    torch.manual_seed(derive(3, "candidate", 4))
    model = context.task.model(architecture="mlp")
    optimizer = torch.optim.SGD(model.parameters(), lr=SGD["lr"], momentum=SGD["momentum"])
    for number in range(15, 35):  # 1,300 samples are 21 blocks
        indices = block_of(context.order(2 + number // 21), number % 21, 64)
        optimizer.zero_grad()
        context.task.loss(model, context.batch(Split.TRAIN, indices)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        expected = context.task.metrics(model, context.batch(Split.VALIDATION, torch.arange(200)))
    assert metrics == {
        "steps": 20,
        "diverged": 0,
        **{f"validation_{name}": figure for name, figure in expected.items()},
    }


@pytest.mark.parametrize("architecture", ["mlp", "cnn", "batch norm", "dropout"])
def test_equal_questions_get_equal_answers_whatever_their_work_id(architecture: str) -> None:
    context = Context(Digits(), seed=3)
    model = {"architecture": architecture}
    first = candidate(context.for_work(5), model=model)
    candidate(context.for_work(6), model={"architecture": "cnn"}, optimizer=ADAMW)
    assert candidate(context.for_work(7), model=model) == first
    assert candidate(Context(Digits(), seed=3), model=model) == first
    assert candidate(context, model=model, draw=5) != first
    assert candidate(context, model=model, epoch=9) != first


def test_what_is_shared_is_the_same_before_and_after(shared: Tensors) -> None:
    context = Context(Searched(), seed=3)
    before = fingerprint(shared)
    for optimizer in (SGD, ADAMW, {"name": "sgd", "lr": 1e30}):
        for arguments in EVERY[::5]:
            candidate(context, shared, model=arguments, optimizer=optimizer, steps=2)
    assert fingerprint(shared) == before


def test_shared_weights_are_where_it_begins(shared: Tensors) -> None:
    context = Context(Searched(), seed=3)
    still = {"name": "sgd", "lr": 0.0}
    warm = candidate(context, shared, model=LARGEST, optimizer=still)
    fresh = candidate(context, model=LARGEST, optimizer=still)
    assert warm["validation_loss"] < fresh["validation_loss"]
    module = context.task.model(**LARGEST)
    module.load_state_dict(shared)
    with torch.no_grad():
        expected = context.task.metrics(module.eval(), context.batch(Split.VALIDATION, torch.arange(200)))
    assert warm["validation_loss"] == pytest.approx(expected["loss"], abs=1e-6)


def test_one_that_diverges_says_so_and_has_no_metrics() -> None:
    metrics = candidate(Context(Digits(), seed=3), optimizer={"name": "sgd", "lr": 1e30})
    assert metrics["diverged"] == 1
    assert metrics["steps"] < 20
    assert metrics.keys() == {"steps", "diverged"}


class UndefinedMetric(Digits):
    """Its metric is 0/0."""

    def metrics(self, model: nn.Module, batch: Any) -> dict[str, float]:
        return {"ratio": float("nan")}


def test_a_metric_that_is_not_finite_is_divergence_too() -> None:
    assert candidate(Context(UndefinedMetric(), seed=3), steps=1) == {"steps": 1, "diverged": 1}


def test_validation_is_on_the_samples_that_are_asked_for() -> None:
    context = Context(Digits(), seed=3)
    parts = [candidate(context, start=start, count=50)["validation_accuracy"] for start in (0, 50, 100, 150)]
    assert candidate(context)["validation_accuracy"] == pytest.approx(sum(parts) / 4)
    assert len(set(parts)) > 1


class Dies(Digits):
    """Its loss is NaN from the third batch on."""

    batches = 0

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        self.batches += 1
        return super().loss(model, batch) * (float("nan") if self.batches > 2 else 1.0)


def test_steps_end_before_a_loss_that_is_not_finite() -> None:
    context = Context(Dies(), seed=3)
    model = context.new_model({})
    taken = take_steps(model, Rule(SGD), Course(0, 0, 64, 10), context)
    assert (taken.steps, taken.finite) == (2, False)
    assert model.weights()[PARAMETERS].isfinite().all()


def test_the_examples_task_is_shared_unchanged() -> None:
    context = Context(FashionMnist(), seed=0)
    models = [{"width": width, "activation": act} for width in (16, 32, 64) for act in ("relu", "tanh")]
    outputs, metrics = run_kind("share", {}, {**SHARE, "models": models, "all_models": models}, context)
    assert metrics["used"] == 6
    for model in models:
        tried = candidate(context, outputs["shared"], model=model, steps=2)
        assert tried["diverged"] == 0
        assert 0 <= tried["validation_accuracy"] <= 1
