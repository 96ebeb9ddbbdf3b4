"""Each kind of work on its own: what it puts out, what it counts, what it refuses."""

from __future__ import annotations

from math import isclose
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from tests.unit.trainers.tasks import SGD, Digits, Training
from trainers import Context, Split, Tensors, decode, encode, fingerprint, run_kind
from trainers.data import Images
from trainers.errors import BlockMissing, KindUnknown, NonFinite, OptimizerInvalid, WeightsMismatch
from trainers.flat import PARAMETERS

ALL = ["mlp", "cnn", "batch norm", "dropout"]


def read_only(value: Tensors) -> Tensors:
    return decode(b"".join(encode(value)))


def test_init_counts_parameters_and_samples() -> None:
    metrics = Training("mlp").metrics
    assert metrics == {
        "parameters": 64 * 31 + 31 + 31 * 10 + 10,
        "train_samples": 1300,
        "validation_samples": 200,
        "test_samples": 297,
    }


def test_init_twice_in_one_process_gives_the_same_weights() -> None:
    training = Training("mlp")
    training.step(0, 0)
    again, _ = training.run("init", {}, {"optimizer": SGD})
    assert fingerprint(again["weights"]) == fingerprint(Training("mlp").weights)


def test_another_seed_gives_other_weights() -> None:
    assert fingerprint(Training("mlp", seed=1).weights) != fingerprint(Training("mlp", seed=2).weights)


@pytest.mark.parametrize("architecture", ALL)
def test_no_kind_modifies_its_inputs(architecture: str) -> None:
    training = Training(architecture, clip_norm=0.01)
    for block in range(2):  # in the second step the optimizer has a state
        training.weights, training.state = read_only(training.weights), read_only(training.state)
        gradient = read_only(training.gradient(0, block)[0])
        values = [training.weights, training.state, gradient]
        before = [fingerprint(value) for value in values]
        further = {"previous_weights": training.weights, "previous_mean": {PARAMETERS: gradient[PARAMETERS]}}
        outputs, _ = training.aggregate({1: gradient}, [64.0], further, keep_mean=True)
        training.run("evaluate", {"weights": training.weights}, {"split": "test", "start": 0, "count": 10})
        assert [fingerprint(value) for value in values] == before
        training.weights, training.state = outputs["weights"], outputs["optimizer"]


@pytest.mark.parametrize("architecture", ALL)
def test_outputs_are_the_callers_for_ever(architecture: str) -> None:
    training = Training(architecture)
    gradient, _ = training.gradient(0, 0)
    outputs, _ = training.aggregate({1: gradient}, [64.0], {}, keep_mean=True)
    values = [training.weights, gradient, *outputs.values()]
    before = [fingerprint(value) for value in values]
    training.weights, training.state = outputs["weights"], outputs["optimizer"]
    training.step(0, 1)
    training.step(0, 2)
    assert [fingerprint(value) for value in values] == before


def test_the_gradients_metrics_are_its_loss_its_squared_norm_and_its_samples() -> None:
    training = Training("mlp")
    gradient, metrics = training.gradient(0, 20)  # the last block: 1,300 = 20 · 64 + 20
    assert metrics["samples"] == 20
    assert isclose(metrics["norm2"], gradient[PARAMETERS].double().square().sum().item(), rel_tol=1e-12)
    assert 2 < metrics["loss"] < 3  # ln 10 = 2.3


def test_a_block_beyond_the_data_is_refused() -> None:
    with pytest.raises(BlockMissing, match="1,300 training samples"):
        Training("mlp").gradient(0, 21)


@pytest.mark.parametrize("order", [[1, 2, 3], [3, 1, 2]])
def test_the_aggregate_does_not_depend_on_the_order_of_arrival(order: list[int]) -> None:
    training = Training("batch norm")
    gradients = {number: training.gradient(0, number)[0] for number in (1, 2, 3)}
    sorted_outputs, _ = training.aggregate(gradients, [64.0, 32.0, 16.0], {}, keep_mean=True)
    samples = {1: 64.0, 2: 32.0, 3: 16.0}
    shuffled = {number: gradients[number] for number in order}
    outputs, _ = training.aggregate(shuffled, [samples[number] for number in order], {}, keep_mean=True)
    for name, value in outputs.items():
        assert fingerprint(value) == fingerprint(sorted_outputs[name])


def test_float_buffers_are_averaged_and_integer_ones_come_from_the_lowest_work_id() -> None:
    training = Training("batch norm")
    gradients = {number: dict(training.gradient(0, number)[0]) for number in (4, 9)}
    gradients[4]["buffer.2.num_batches_tracked"] = torch.tensor(40)
    outputs, _ = training.aggregate({9: gradients[9], 4: gradients[4]}, [64.0, 64.0], {}, keep_mean=False)
    means = [gradient["buffer.2.running_mean"].double() for gradient in gradients.values()]
    expected = (means[0] + means[1]) / 2
    torch.testing.assert_close(outputs["weights"]["buffer.2.running_mean"].double(), expected, rtol=1e-6, atol=1e-9)
    assert outputs["weights"]["buffer.2.num_batches_tracked"] == 40


def test_statistics_of_the_step_are_those_of_their_definitions() -> None:
    training = Training("mlp", clip_norm=1e-3)
    first, _ = training.gradient(0, 0)
    outputs, metrics = training.aggregate({1: first}, [64.0], {}, keep_mean=True)
    assert metrics.keys() == {"norm2", "learning_rate", "effective_learning_rate"}
    before, mean_before = training.weights, outputs["mean"]
    training.weights, training.state = outputs["weights"], outputs["optimizer"]
    second, _ = training.gradient(0, 1)
    further = {"previous_weights": before, "previous_mean": mean_before}
    outputs, metrics = training.aggregate({2: second}, [64.0], further, keep_mean=True)
    mean = second[PARAMETERS].double()
    step = training.weights[PARAMETERS].double() - before[PARAMETERS].double()
    assert fingerprint(outputs["mean"]) == fingerprint({PARAMETERS: second[PARAMETERS]})  # before clipping
    expected = {
        "norm2": mean.square().sum(),
        "step_norm2": step.square().sum(),
        "step_dot_gradient": mean.dot(step),
        "change_norm2": (mean - first[PARAMETERS].double()).square().sum(),
        "learning_rate": torch.tensor(0.05, dtype=torch.float64),
        "effective_learning_rate": torch.tensor(0.5, dtype=torch.float64),  # momentum 0.9
    }
    assert metrics == {name: pytest.approx(figure.item(), rel=1e-9) for name, figure in expected.items()}


def test_evaluation_averages_over_samples_and_not_over_batches() -> None:
    training = Training("batch norm")
    training.step(0, 0)

    def accuracy(start: int, count: int) -> float:
        params = {"split": "test", "start": start, "count": count}
        outputs, metrics = training.run("evaluate", {"weights": training.weights}, params)
        assert not outputs
        assert metrics["samples"] == count
        return metrics["accuracy"]

    assert accuracy(0, 297) == pytest.approx((accuracy(0, 260) * 260 + accuracy(260, 37) * 37) / 297)


def test_evaluation_changes_no_buffer_and_leaves_dropout_off() -> None:
    training = Training("dropout")
    params = {"split": "validation", "start": 0, "count": 200}
    metrics = [training.run("evaluate", {"weights": training.weights}, params)[1] for _ in range(2)]
    assert metrics[0] == metrics[1]


def test_metrics_may_be_called_by_numbers_and_are_named_by_them() -> None:
    context = Context(Numbered(), 0)
    weights = run_kind("init", {}, {"model": {}, "optimizer": SGD}, context)[0]["weights"]
    params = {"split": "test", "start": 0, "count": 10, "model": {}}
    assert run_kind("evaluate", {"weights": weights}, params, context)[1] == {"0": 0.25, "1": 0.5, "samples": 10.0}


class Numbered(Digits):
    """Its metrics are those of the classes, by their numbers."""

    def metrics(self, model: nn.Module, batch: Any) -> Any:
        return {0: 0.25, 1: torch.tensor(0.5)}


class Poisoned(Digits):
    """Its samples are infinite."""

    def data(self, split: Split) -> Images:
        images = super().data(split)
        return Images(images.pixels, images.labels, images.mean, deviation=0.0)


class SteepAtZero(Digits):
    """A finite loss with an infinite gradient."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        parameter = next(model.parameters())
        return (parameter - parameter.detach()).abs().sum().sqrt()


@pytest.mark.parametrize(("task", "quantity"), [(Poisoned(), "loss"), (SteepAtZero(), "gradient")])
def test_a_gradient_that_is_not_finite_is_an_error_that_names_the_block(task: Digits, quantity: str) -> None:
    context = Context(task, seed=0)
    outputs, _ = run_kind("init", {}, {"model": {}, "optimizer": SGD}, context)
    params: dict[str, Any] = {"model": {}, "epoch": 2, "block": 7, "batch_size": 8}
    with pytest.raises(NonFinite, match=f"the {quantity} of block 7 of epoch 2"):
        run_kind("gradient", {"weights": outputs["weights"]}, params, context)


class FailsOnce(Digits):
    """Its first backward pass breaks after it has reached some parameters."""

    failed = False

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        loss = super().loss(model, batch)
        if not self.failed:
            self.failed = True
            torch.autograd.backward(loss)
            raise RuntimeError("out of luck")
        return loss


def test_failed_work_leaves_nothing_behind_for_the_next() -> None:
    context = Context(FailsOnce(), seed=3)
    training = Training("mlp")
    params: dict[str, Any] = {"model": {"architecture": "mlp"}, "epoch": 0, "block": 0, "batch_size": 64}
    with pytest.raises(RuntimeError, match="out of luck"):
        run_kind("gradient", {"weights": training.weights}, params, context)
    outputs, _ = run_kind("gradient", {"weights": training.weights}, params, context)
    assert fingerprint(outputs["gradient"]) == fingerprint(training.gradient(0, 0)[0])


def test_weights_of_another_model_are_refused_with_both_sizes() -> None:
    training = Training("mlp")
    training.weights = Training("cnn").weights
    with pytest.raises(WeightsMismatch, match=r"1,432 parameters .* 2,335 parameters"):
        training.gradient(0, 0)


def test_an_optimizer_that_does_not_suit_the_model_is_refused_at_init() -> None:
    with pytest.raises(OptimizerInvalid, match="2D"):
        Training("mlp", {"name": "muon", "lr": 0.1})


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(KindUnknown, match="did you mean 'gradient'"):
        run_kind("gradiant", {}, {}, Context(Digits(), seed=0))


def test_params_of_a_wrong_type_are_refused_by_name() -> None:
    with pytest.raises(msgspec.ValidationError, match="batch_size"):
        run_kind("gradient", {}, {"model": {}, "epoch": 0, "block": 0, "batch_size": "64"}, Context(Digits(), seed=0))
