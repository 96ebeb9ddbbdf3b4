"""A trial's segments: cut anywhere they give the same bits, and a trial that diverges says so and goes on living."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.trainers.tasks import ADAMW, ARCHITECTURES, SGD, Digits
from trainers import Context, Split, Tensors, decode, encode, fingerprint, run_kind
from trainers.blocks import block_of, permutation
from trainers.errors import OptimizerInvalid, WeightsMismatch
from trainers.flat import PARAMETERS
from trainers.kinds.trial import steps_by
from trainers.randomness import derive, seeded

ALL = sorted(ARCHITECTURES)


def segment(
    start: float,
    end: float,
    before: dict[str, Tensors] | None = None,
    context: Context | None = None,
    work_id: int = 1,
    **changed: Any,
) -> tuple[dict[str, Tensors], dict[str, float]]:
    params = {
        "number": 4,
        "start": start,
        "end": end,
        "batch_size": 64,
        "optimizer": SGD,
        "clip_norm": None,
        "validation": 0,
        "model": {"architecture": "mlp"},
        **changed,
    }
    context = context or Context(Digits(), seed=3)
    outputs, metrics = run_kind("trial", before or {}, params, context.for_work(work_id))
    return dict(outputs), dict(metrics)


def bits(outputs: dict[str, Tensors]) -> dict[str, str]:
    return {name: fingerprint(value) for name, value in outputs.items()}


@pytest.mark.parametrize("architecture", ALL)
@pytest.mark.parametrize("optimizer", [SGD, ADAMW, {"name": "asgd", "lr": 0.01}], ids=lambda given: given["name"])
@pytest.mark.parametrize("cut", [0.1, 1.0, 1.37])
def test_two_segments_give_the_bits_of_one(architecture: str, optimizer: dict[str, Any], cut: float) -> None:
    settings = {"model": {"architecture": architecture}, "optimizer": optimizer, "clip_norm": 0.5, "batch_size": 130}
    whole, whole_metrics = segment(0, 2, **settings)
    first, _ = segment(0, cut, **settings)
    carried = {name: decode(b"".join(encode(value))) for name, value in first.items()}
    second, metrics = segment(cut, 2, carried, work_id=99, **settings)
    assert bits(second) == bits(whole)
    assert {n: v for n, v in metrics.items() if n.startswith("validation")} == {
        n: v for n, v in whole_metrics.items() if n.startswith("validation")
    }
    assert bits(first) == bits(carried)  # inputs are not modified


def test_a_segment_is_an_ordinary_loop_over_the_trials_own_order() -> None:
    outputs, metrics = segment(0, 1, clip_norm=1.0)
    seed = derive(3, "trial", 4)
    with seeded(3, torch.device("cpu")):  # the run's own: its trials share their first weights
        module = ARCHITECTURES["mlp"]()
    optimizer = torch.optim.SGD(module.parameters(), lr=SGD["lr"], momentum=SGD["momentum"])
    images = Digits().data(Split.TRAIN)
    losses = []
    for block in range(21):
        indices = block_of(permutation(1300, seed, 0), block, 64)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(images.batch_of(indices)[0]), images.batch_of(indices)[1])
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item() * len(indices))
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])
    assert torch.equal(outputs["weights"][PARAMETERS], flat)
    assert metrics["train_loss"] == sum(losses) / 1300
    assert metrics["samples"] == 1300


def test_trials_share_their_first_weights_and_confirming_runs_have_others() -> None:
    nearly_nothing = {"optimizer": {"name": "sgd", "lr": 1e-30}}
    firsts = [
        segment(0, 0.1, number=number, first=first, **nearly_nothing)[0]["weights"][PARAMETERS]
        for number, first in [(0, 0), (1, 0), (2, 1), (3, 2)]
    ]
    assert torch.equal(firsts[0], firsts[1])
    assert not any(torch.equal(one, other) for one, other in [(firsts[0], firsts[2]), (firsts[2], firsts[3])])


def test_the_same_trial_elsewhere_gives_the_same_bits_whatever_ran_before() -> None:
    warm = Context(Digits(), seed=3)
    segment(0, 0.3, context=warm, number=9, model={"architecture": "cnn"})
    segment(0, 0.3, context=warm, number=8)
    assert bits(segment(0, 0.5, context=warm, work_id=7)[0]) == bits(segment(0, 0.5)[0])


def test_trials_of_other_numbers_begin_elsewhere_and_see_data_in_another_order() -> None:
    assert bits(segment(0, 0.1, number=1)[0]) != bits(segment(0, 0.1, number=2)[0])


def test_the_settings_reach_the_training() -> None:
    plain = bits(segment(0, 0.2)[0])["weights"]
    for changed in (
        {"optimizer": {**SGD, "lr": 0.06}},
        {"batch_size": 32},
        {"clip_norm": 0.01},
        {"model": {"architecture": "cnn"}},
    ):
        assert bits(segment(0, 0.2, **changed)[0])["weights"] != plain


def test_validation_may_be_on_the_first_samples_only() -> None:
    _, whole = segment(0, 0.2)
    _, part = segment(0, 0.2, validation=50)
    assert set(whole) == {"diverged", "samples", "train_loss", "validation_accuracy", "validation_loss"}
    assert (part["validation_accuracy"] * 50) % 1 == pytest.approx(0, abs=1e-9)
    assert part["validation_loss"] != whole["validation_loss"]
    assert segment(0, 0.2, validation=10_000)[1] == whole


def test_a_trial_that_diverges_is_a_result_without_a_checkpoint() -> None:
    outputs, metrics = segment(0, 3, optimizer={"name": "sgd", "lr": 1e12})
    assert outputs == {}
    assert set(metrics) == {"diverged", "samples"}
    assert metrics["diverged"] == 1
    assert 0 < metrics["samples"] < 3 * 1300
    again, _ = segment(0, 0.1)  # and the process goes on as if nothing had been
    assert again


def test_a_model_that_does_not_fit_is_a_result_too() -> None:
    class Huge(Digits):
        def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert segment(0, 1, context=Context(Huge(), seed=3)) == ({}, {"out_of_memory": 1})


def test_a_last_step_that_blows_up_is_diverged_though_no_training_loss_showed_it() -> None:
    outputs, metrics = segment(0, 1 / 21, optimizer={"name": "sgd", "lr": 3e38})
    assert outputs == {}
    assert metrics == {"diverged": 1, "samples": 64}


def test_steps_are_counted_from_budgets_with_a_guard_for_rounding() -> None:
    assert steps_by(0, 21) == 0
    assert steps_by(1 / 3, 21) == 7
    assert steps_by(0.1 * 3, 10) == 3  # 0.30000000000000004
    assert steps_by(0.01, 21) == 1
    assert [steps_by(epochs, 21) for epochs in (1, 2.0, 2.5)] == [21, 42, 53]


def test_weights_of_another_model_and_unknown_options_are_refused() -> None:
    other, _ = segment(0, 0.1, model={"architecture": "cnn"})
    with pytest.raises(WeightsMismatch):
        segment(0.1, 0.2, other)
    with pytest.raises(OptimizerInvalid, match="momentun"):
        segment(0, 0.1, optimizer={"name": "sgd", "lr": 0.1, "momentun": 0.9})
