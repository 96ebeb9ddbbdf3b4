"""What a `train` section cannot mean, as sentences."""

from __future__ import annotations

import pytest

from orchestrator.spec import SpecInvalid, check

GOOD = {
    "task": "tests.support.digits_task:Digits",
    "train": {"workers": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["late=interrupt"], "stops a gradient between two micro-batches, and there is one only"),
        (
            ["late=interrupt", "micro_batch_size=16", "quorum=rate"],
            "train.quorum is rate, which goes by when late gradients arrive, and with train.late: interrupt none does",
        ),
        (["late=interrupt", "local_steps=4", "quorum=dbw"], "Use dynamic, full, static or adasync, or late: drop."),
        (["micro_batch_size=128"], "train.micro_batch_size is 128 but train.batch_size is 64"),
        (["outer_optimizer={name: sgd, lr: 0.7}"], "train.local_steps is 1. Use local_steps > 1, or leave it out"),
        (["local_steps=4", "learning_rate_rule=knee"], "is knee, which tests single steps"),
        (["local_steps=4", "optimizer={name: adamw, lr: 0.001}"], "of adamw nobody does. Use rate, full or static"),
        (
            ["early_stopping={metric: accuracy}", "checkpoints={best: {metric: loss, mode: min}}"],
            "a run has one best version. Give both the same",
        ),
        (["learning_rate_schedule={name: CosineLR}"], "'CosineLR': torch.optim.lr_scheduler has no such schedule"),
        (["learning_rate_schedule={name: StepLR, step: 3}"], "has no option 'step'; did you mean 'step_size'"),
        (["early_stopping={metric: f1}"], "train.early_stopping.metric is f1, which Digits.metrics() does not return"),
        (["average=swa"], "'swa' is not one of ema, lawa"),
    ],
)
def test_what_cannot_be_is_said(settings: list[str], sentence: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        check(GOOD, [f"train.{setting}" for setting in settings])
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        ["late=interrupt", "micro_batch_size=16"],
        ["late=interrupt", "local_steps=4"],
        ["local_steps=4", "quorum=dynamic"],
        ["local_steps=4", "quorum=rate", "optimizer={name: adamw, lr: 0.001}", "outer_optimizer={name: sgd, lr: 1.0}"],
        ["average=ema", "early_stopping={}", "checkpoints={every: {epochs: 1}, best: {}}"],
        ["average={lawa: {checkpoints: 3, every: {rounds: 10}}}", "precision=bfloat16", "learning_rate_rule=knee"],
        ["learning_rate_schedule={name: OneCycleLR, max_lr: 0.5, total_steps: 100, per: round}"],
    ],
)
def test_what_goes_together_is_taken(settings: list[str]) -> None:
    check(GOOD, [f"train.{setting}" for setting in settings])
