"""What the design promises of bits, held against a plain PyTorch loop that a user would write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.unit.trainers.tasks import ADAMW, ARCHITECTURES, SGD, Digits, Training
from trainers import Split, fingerprint, unflatten
from trainers.blocks import block_of, blocks_per_epoch, permutation
from trainers.flat import PARAMETERS

SAMPLES = 1_300


def plain_loop(training: Training, batch_size: int) -> Iterator[nn.Module]:
    """The model after each step."""
    torch.manual_seed(training.seed)
    model = ARCHITECTURES[training.architecture]()
    options = {name: value for name, value in training.optimizer.items() if name != "name"}
    optimizer = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[training.optimizer["name"]](
        model.parameters(), **options
    )
    task = Digits()
    data = task.data(Split.TRAIN)
    for epoch in range(10):
        for block in range(blocks_per_epoch(SAMPLES, batch_size)):
            batch = data.batch_of(block_of(permutation(SAMPLES, training.seed, epoch), block, batch_size))
            optimizer.zero_grad()
            torch.autograd.backward(task.loss(model, batch))
            if training.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
            optimizer.step()
            yield model


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize("optimizer", [SGD, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("architecture", ["mlp", "cnn", "batch norm"])
def test_one_worker_equals_the_plain_loop_bit_for_bit(
    architecture: str, optimizer: dict[str, object], clip_norm: float | None
) -> None:
    training = Training(architecture, optimizer, clip_norm=clip_norm)
    plain = plain_loop(training, training.batch_size)
    for epoch in range(2):
        for block in range(blocks_per_epoch(SAMPLES, training.batch_size)):
            training.step(epoch, block)
            model = next(plain)
    ours = unflatten(ARCHITECTURES[architecture](), training.weights)
    assert fingerprint(ours.state_dict()) == fingerprint(model.state_dict())


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_four_workers_equal_one_of_four_times_the_batch_to_rounding(architecture: str) -> None:
    training = Training(architecture, workers=4, batch_size=16)
    plain = plain_loop(training, batch_size=64)
    for number in range(10):
        training.step(epoch=0, first_block=4 * number)
        model = next(plain)
    expected = nn.utils.parameters_to_vector(model.parameters()).detach()
    difference = training.weights[PARAMETERS] - expected
    assert difference.norm() <= 1e-6 * expected.norm()


def test_an_epochs_last_gradients_weigh_by_their_samples() -> None:
    """1,300 samples are 40 blocks of 32 and one of 20: blocks 39 and 40 hold 52 samples."""
    training = Training("mlp", batch_size=32)
    (full, of_full), (short, of_short) = training.gradient(0, 39), training.gradient(0, 40)
    assert (of_full["samples"], of_short["samples"]) == (32, 20)
    outputs, _ = training.aggregate({1: full, 2: short}, [32, 20], {}, keep_mean=True)
    expected = (full[PARAMETERS].double() * 32 + short[PARAMETERS].double() * 20) / 52
    torch.testing.assert_close(outputs["mean"][PARAMETERS].double(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("architecture", ["mlp", "cnn", "batch norm", "dropout"])
def test_equal_work_gives_equal_bits_whatever_the_process_did_before(architecture: str) -> None:
    fresh, used = Training(architecture), Training(architecture)
    for block in range(3):
        used.gradient(0, block)
    torch.rand(5)
    used.work_id = fresh.work_id
    assert fingerprint(used.gradient(1, 2)[0]) == fingerprint(fresh.gradient(1, 2)[0])


def test_another_work_drops_other_units() -> None:
    training = Training("dropout")
    one, other = training.gradient(0, 0)[0], training.gradient(0, 0)[0]
    assert fingerprint(one) != fingerprint(other)


def test_work_leaves_the_callers_random_numbers_alone() -> None:
    def draw(between: bool) -> Tensor:
        training = Training("dropout")
        torch.manual_seed(11)
        if between:
            training.gradient(0, 0)
        return torch.rand(3)

    assert torch.equal(draw(between=True), draw(between=False))
