"""The kinds of work of a merge: candidates, predictions and ensembles as functions of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.nn.functional import one_hot

from tests.unit.trainers.tasks import Digits, Training, normalised
from trainers import Context, Split, Tensors, build_model, decode, encode, fingerprint, run_kind, unflatten
from trainers.building import MEMBERS
from trainers.errors import WeightsMismatch
from trainers.flat import PARAMETERS
from trainers.merging import METHODS
from trainers.merging.ensemble import Ensemble
from trainers.merging.errors import MethodNeeds, OptionInvalid

CONTEXT = Context(Digits(), 3)


def read_only(value: Tensors) -> Tensors:
    return decode(b"".join(encode(value)))


def parents(architecture: str, count: int) -> tuple[Tensors, list[Tensors]]:
    """A start, and models that some steps lead to from there, each with other data."""
    base = Training(architecture)
    for step in range(8):
        base.step(0, step)
    children = []
    for child in range(count):
        training = Training(architecture)
        training.weights, training.state = base.weights, base.state
        for step in range(5):
            training.step(child + 1, step)
        children.append(read_only(training.weights))
    return read_only(base.weights), children


def run(
    kind: str, inputs: Mapping[str, Tensors], architecture: str = "mlp", work_id: int = 5, **params: Any
) -> tuple[Mapping[str, Tensors], Mapping[str, float]]:
    params = params if kind == "ensemble" else {"model": {"architecture": architecture}, **params}
    return run_kind(kind, inputs, params, CONTEXT.for_work(work_id))


def evaluated(weights: Tensors, model: Mapping[str, Any], split: str = "validation") -> Mapping[str, float]:
    params = {"split": split, "start": 0, "count": 200, "model": model}
    return run_kind("evaluate", {"weights": weights}, params, CONTEXT.for_work(9))[1]


def sources(models: list[Tensors]) -> dict[str, Tensors]:
    return {f"source.{number}": model for number, model in enumerate(models)}


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("architecture", ["mlp", "cnn", "batch norm"])
def test_every_method_merges_models_of_one_start_into_a_model(method: str, architecture: str) -> None:
    base, children = parents(architecture, 2)
    inputs = {"base": base, **sources(children)}
    before = [fingerprint(value) for value in inputs.values()]
    outputs, metrics = run("merge", inputs, architecture, method=method, options={}, sources=2)
    again, _ = run("merge", inputs, architecture, work_id=6, method=method, options={}, sources=2)
    assert fingerprint(outputs["weights"]) == fingerprint(again["weights"])
    assert [fingerprint(value) for value in inputs.values()] == before
    assert metrics == {}
    merged, worst = (
        evaluated(outputs["weights"], {"architecture": architecture}),
        evaluated(base, {"architecture": architecture}),
    )
    assert merged["accuracy"] > worst["accuracy"] - 0.15


def test_a_source_may_be_flat_or_a_state_dict() -> None:
    _, children = parents("mlp", 2)
    states = [unflatten(Digits().model(), child).state_dict() for child in children]
    flat, _ = run("merge", sources(children), method="uniform", options={}, sources=2)
    state, _ = run("merge", sources([dict(state) for state in states]), method="uniform", options={}, sources=2)
    assert fingerprint(flat["weights"]) == fingerprint(state["weights"])


def test_a_merge_of_batch_norm_has_statistics_of_its_own_activations() -> None:
    _, children = parents("batch norm", 2)
    outputs, _ = run("merge", sources(children), "batch norm", method="uniform", options={}, sources=2)
    module = unflatten(normalised(), outputs["weights"])
    norm = module.get_submodule("2")
    inputs, _ = CONTEXT.batch(Split.TRAIN, CONTEXT.order(0)[:1280])
    with torch.no_grad():
        activations = module.get_submodule("1")(inputs.flatten(1))
    torch.testing.assert_close(norm.running_mean, activations.mean(0), rtol=1e-3, atol=1e-3)
    assert norm.momentum == 0.1
    assert int(outputs["weights"]["buffer.2.num_batches_tracked"]) == 10


def test_a_merge_that_cannot_be_is_refused() -> None:
    _, children = parents("mlp", 2)
    with pytest.raises(MethodNeeds, match="ties needs a base"):
        run("merge", sources(children), method="ties", options={}, sources=2)
    with pytest.raises(OptionInvalid, match=r"slerp\.t: 2"):
        run("merge", sources(children), method="slerp", options={"t": 2}, sources=2)
    with pytest.raises(WeightsMismatch):
        run("merge", sources(children), "cnn", method="uniform", options={}, sources=2)


def test_predictions_are_the_models_probabilities_and_the_labels() -> None:
    _, (child,) = parents("mlp", 1)
    outputs, _ = run("predict", {"weights": child}, split="validation", start=20, count=100)
    predictions = outputs["predictions"]
    inputs, targets = CONTEXT.batch(Split.VALIDATION, torch.arange(20, 120))
    expected = unflatten(Digits().model(), child)(inputs).softmax(dim=1)
    torch.testing.assert_close(predictions["probabilities"], expected)
    assert torch.equal(predictions["targets"], targets)


def test_an_ensemble_is_a_model_that_is_no_worse_than_its_members() -> None:
    members = [({"architecture": name}, parents(name, 1)[1][0]) for name in ("mlp", "cnn", "batch norm")]
    inputs = dict(sources([weights for _, weights in members]))
    for number, (arguments, weights) in enumerate(members):
        params = {"split": "validation", "start": 0, "count": 200, "model": arguments}
        outputs, _ = run_kind("predict", {"weights": weights}, params, CONTEXT.for_work(number))
        inputs[f"predictions.{number}"] = outputs["predictions"]
    outputs, metrics = run("ensemble", inputs, members=[arguments for arguments, _ in members])
    assert sum(metrics.values()) == pytest.approx(1)
    arguments = {MEMBERS: [arguments for arguments, _ in members]}
    module = unflatten(build_model(Digits(), arguments), outputs["weights"])
    assert isinstance(module, Ensemble)
    features, targets = CONTEXT.batch(Split.VALIDATION, torch.arange(200))
    truth = one_hot(targets, 10)
    error = (module.eval()(features).exp() - truth).square().sum()
    for number in range(3):
        assert error <= (inputs[f"predictions.{number}"]["probabilities"] - truth).square().sum() + 1e-4
    figures = evaluated(outputs["weights"], arguments)
    assert figures["accuracy"] == pytest.approx((module(features).argmax(1) == targets).double().mean().item())


def test_atlas_is_no_worse_than_its_base_on_what_it_is_judged_by() -> None:
    base, children = parents("mlp", 2)
    settings: dict[str, Any] = {"options": {"steps": 30, "batch_size": 64, "lr": 0.05}, "sources": 2}
    outputs, metrics = run("atlas", {"base": base, **sources(children)}, **settings)
    again, _ = run("atlas", {"base": base, **sources(children)}, **settings)
    assert fingerprint(outputs["weights"]) == fingerprint(again["weights"])
    assert metrics["loss_after"] < metrics["loss_before"]
    assert metrics["better"] == 1
    assert not torch.equal(outputs["weights"][PARAMETERS], base[PARAMETERS])


def test_atlas_of_models_that_are_the_base_is_the_base() -> None:
    base, _ = parents("mlp", 0)
    settings: dict[str, Any] = {"options": {"steps": 3}, "sources": 1}
    outputs, metrics = run("atlas", {"base": base, "source.0": base}, **settings)
    assert fingerprint(outputs["weights"]) == fingerprint(base)
    assert metrics["better"] == 0
