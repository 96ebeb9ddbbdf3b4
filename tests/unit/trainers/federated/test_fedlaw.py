"""FedLAW: zero epochs are FedAvg, the guards hold, buffers are never scaled, and proxies are what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.trainers.federated.rounds import Federation
from tests.unit.trainers.tasks import Digits
from trainers import Context, Split, Tensors, fingerprint
from trainers.aggregation import Cohort, Combined, Update
from trainers.aggregation.fedavg import averaged
from trainers.aggregation.fedlaw import FedLaw
from trainers.aggregation.fine_tuning import FineTuning
from trainers.coefficients import Learn
from trainers.flat import PARAMETERS
from trainers.local_training import Plan
from trainers.proxy import Judgement, Proxy

SIZE = 17
FEDAVG: dict[str, Any] = {"name": "fedavg"}
FEDLAW: dict[str, Any] = {"name": "fedlaw"}


def normal(seed: int) -> Tensor:
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass
class NearTarget:
    """A proxy whose loss is the distance to a target; accuracies are handed out one after another."""

    target: Tensor
    accuracies: Iterator[float] = field(default_factory=lambda: iter([0.5] * 99))
    sign: float = 1.0  # -1: what is learnt leads away from the target

    def loss_and_gradient(self, weights: Tensors, batch: Any) -> tuple[float, Tensor]:
        away = weights[PARAMETERS] - self.target
        return away.square().sum().item(), 2 * self.sign * away

    def judge(self, weights: Tensors) -> Judgement:
        return Judgement((weights[PARAMETERS] - self.target).square().sum().item(), next(self.accuracies))

    def batches(self, batch_size: int, epochs: int) -> Iterator[Any]:
        return iter(range(2 * epochs))

    def trained(self, weights: Tensors, batch_size: int, plan: Plan) -> Tensors:
        return {PARAMETERS: torch.full_like(weights[PARAMETERS], float("nan"))}


def cohort_of(models: list[Tensor], samples: list[float]) -> Cohort:
    weights = {PARAMETERS: normal(1000)}
    updates = [
        Update(number, str(number), count, {PARAMETERS: model}, weights)
        for number, (model, count) in enumerate(zip(models, samples, strict=True))
    ]
    return Cohort(weights, updates, population=len(models))


def loss_of(combined: Combined, proxy: NearTarget) -> float:
    return (combined.weights[PARAMETERS] - proxy.target).square().sum().item()


@pytest.mark.parametrize("rule", [{"name": "fedlaw", "epochs": 0}, {"name": "fine_tuning", "epochs": 0}])
@pytest.mark.parametrize("architecture", ["mlp", "cnn", "batch norm"])
def test_zero_epochs_on_the_server_are_federated_averaging_bit_for_bit(rule: dict[str, Any], architecture: str) -> None:
    learning, averaging = (Federation(each, clients=5, architecture=architecture) for each in (rule, FEDAVG))
    for cohort in ([0, 1, 2, 3, 4], [1, 3], [2]):
        learning.round(cohort)
        averaging.round(cohort)
        assert fingerprint(learning.weights) == fingerprint(averaging.weights)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 500).map(float), min_size=1, max_size=6),
    st.sampled_from(Learn),
    st.floats(0.001, 2.0),
    st.sampled_from([1.0, -1.0]),
)
def test_what_is_kept_is_never_worse_on_the_proxy_than_federated_averaging(
    seed: int, samples: list[float], which: Learn, lr: float, sign: float
) -> None:
    cohort = cohort_of([normal(seed + number) for number in range(len(samples))], samples)
    proxy = NearTarget(normal(seed + 99), sign=sign)
    combined = FedLaw(learn=which, lr=lr, epochs=5).combine(cohort, proxy)
    before = proxy.judge(averaged(cohort)).loss
    assert combined.metrics["proxy_loss_before"] == before
    assert combined.metrics["proxy_loss_after"] == loss_of(combined, proxy) <= before
    shares = [combined.metrics[f"lambda.{number}"] for number in range(len(samples))]
    assert sum(shares) == pytest.approx(1.0)
    if combined.metrics["proxy_loss_after"] == before:
        assert fingerprint(combined.weights) == fingerprint(averaged(cohort))
        assert combined.metrics["gamma"] == 1.0
        assert shares == pytest.approx([count / sum(samples) for count in samples])
    if which is Learn.LAMBDA:
        assert combined.metrics["gamma"] == 1.0


def test_learning_that_leads_nowhere_gives_way_to_federated_averaging() -> None:
    cohort = cohort_of([normal(number) for number in range(3)], [1.0, 2.0, 3.0])
    combined = FedLaw().combine(cohort, NearTarget(normal(9), sign=-1.0))
    assert fingerprint(combined.weights) == fingerprint(averaged(cohort))
    assert combined.metrics["gamma"] == 1.0


def test_where_accuracy_falls_below_that_before_only_the_shares_are_kept() -> None:
    target = normal(5)
    models = [target + 0.1 * normal(1), target + normal(2)]
    cohort = cohort_of(models, [1.0, 1.0])
    # the mean, two while it learns, what is learnt, the weights before, two while it learns the shares, they alone
    falling = iter([0.5, 0.5, 0.5, 0.2, 0.4, 0.5, 0.5, 0.3])
    guarded = FedLaw().combine(cohort, NearTarget(target, falling))
    free = FedLaw().combine(cohort, NearTarget(target))
    shares_only = FedLaw(learn=Learn.LAMBDA).combine(cohort, NearTarget(target))
    assert free.metrics["gamma"] != 1.0
    assert free.metrics["guarded"] == 0
    assert guarded.metrics["gamma"] == 1.0
    assert guarded.metrics["guarded"] == 1
    assert guarded.metrics["lambda.0"] == shares_only.metrics["lambda.0"] > 0.5
    assert fingerprint(guarded.weights) == fingerprint(shares_only.weights)


def test_the_scale_grows_or_shrinks_to_where_the_loss_is_least() -> None:
    model = normal(0)
    for scale in (0.8, 1.25):
        combined = FedLaw(epochs=200, learn=Learn.GAMMA).combine(cohort_of([model], [5.0]), NearTarget(scale * model))
        assert combined.metrics["gamma"] == pytest.approx(scale, rel=1e-3)


@pytest.mark.parametrize("epochs", [1, 20])
def test_a_normalised_models_buffers_are_averaged_by_the_shares_and_never_scaled(epochs: int) -> None:
    federation = Federation({**FEDLAW, "epochs": epochs, "lr": 0.1}, architecture="batch norm", alpha=0.3)
    sent: dict[int, tuple[str, float, Tensors]] = {}
    for client in range(4):
        outputs, metrics = federation.local_update(client)
        sent[federation.work_id] = (str(client), metrics["samples"], outputs["update"])
    outputs, metrics = federation.combine(sent, {})
    assert metrics["gamma"] != 1.0
    for name in ("buffer.2.running_mean", "buffer.2.running_var"):
        shares = [metrics[f"lambda.{client}"] for client in range(4)]
        values = [value[name].double() for _, _, value in sent.values()]
        expected = sum(share * value for share, value in zip(shares, values, strict=True))
        assert isinstance(expected, Tensor)
        torch.testing.assert_close(outputs["weights"][name], expected.float(), rtol=1e-6, atol=1e-7)


def test_a_client_whose_labels_are_wrong_loses_its_share() -> None:
    class Mislabelled(Digits):
        """The task of one client only."""

        def loss(self, model: Any, batch: Any) -> Tensor:
            inputs, labels = batch
            return super().loss(model, (inputs, 9 - labels))

    honest = Federation({**FEDLAW, "learn": "lambda", "lr": 0.1}, clients=5, alpha=100.0, epochs=3)
    liar = Federation(FEDLAW, clients=5, alpha=100.0, epochs=3, task=Mislabelled())
    sent: dict[int, tuple[str, float, Tensors]] = {}
    for client in range(5):
        federation = liar if client == 4 else honest
        federation.work_id = 10 * client
        outputs, metrics = federation.local_update(client)
        sent[federation.work_id] = (str(client), metrics["samples"], outputs["update"])
    _, metrics = honest.combine(sent, {})
    assert metrics["lambda.4"] < 0.1 < metrics["lambda.0"]
    assert metrics["proxy_loss_after"] < metrics["proxy_loss_before"]


def test_learning_on_the_proxy_helps_one_sided_clients() -> None:
    accuracies = {}
    for rule in (FEDAVG, FEDLAW, {"name": "fine_tuning"}):
        federation = Federation(rule, clients=10, alpha=0.1, epochs=2)
        for _ in range(5):
            federation.round(range(10))
        accuracies[rule["name"]] = federation.accuracy()
    assert accuracies["fedlaw"] > accuracies["fedavg"]
    assert accuracies["fine_tuning"] > accuracies["fedavg"]


def test_fine_tuning_that_ends_in_nan_gives_way_to_federated_averaging() -> None:
    cohort = cohort_of([normal(number) for number in range(3)], [1.0, 2.0, 3.0])
    combined = FineTuning().combine(cohort, NearTarget(normal(9)))
    assert fingerprint(combined.weights) == fingerprint(averaged(cohort))


@pytest.mark.parametrize("architecture", ["mlp", "batch norm", "dropout"])
def test_judging_and_learning_on_a_proxy_move_no_buffer_and_draw_no_chance(architecture: str) -> None:
    federation = Federation(FEDLAW, architecture=architecture)
    proxy = Proxy(federation.context, federation.arguments, Split.VALIDATION, 60)
    batch = next(proxy.batches(60, 1))
    first, second = (proxy.loss_and_gradient(federation.weights, batch) for _ in range(2))
    assert first[0] == second[0] == pytest.approx(proxy.judge(federation.weights).loss, rel=1e-6)
    assert torch.equal(first[1], second[1])
    assert fingerprint(federation.context.model(federation.arguments).weights()) == fingerprint(federation.weights)


def test_a_proxy_is_balanced_and_the_same_in_every_process() -> None:
    drawn = [Context(Digits(), seed=4).balanced(Split.VALIDATION, 50) for _ in range(2)]
    assert torch.equal(*drawn)
    labels = Digits().data(Split.VALIDATION).labels[drawn[0]]
    assert labels.bincount().tolist() == [5] * 10
    assert not torch.equal(drawn[0], Context(Digits(), seed=5).balanced(Split.VALIDATION, 50))


class Noisy(Digits):
    """Draws each sample anew whenever it is asked for."""

    def data(self, split: Split) -> Any:
        return _Drawn(super().data(split))


class _Drawn(torch.utils.data.Dataset[Any]):
    def __init__(self, data: Any) -> None:
        self.data, self.targets = data, data.labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        x, y = self.data[index]
        return x + torch.rand(()), y


def test_samples_that_are_drawn_anew_are_the_works_and_no_others() -> None:
    def combined(before: int) -> str:
        federation = Federation(FEDLAW, clients=2, task=Noisy())
        sent = {}
        for client in range(2):
            outputs, metrics = federation.local_update(client)
            sent[federation.work_id] = (str(client), metrics["samples"], outputs["update"])
        torch.manual_seed(before)
        return fingerprint(federation.combine(sent, {})[0]["weights"])

    assert combined(1) == combined(2)
