"""A configuration laid over the shared settings: what is sampled is what a trial trains with."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.searching.training import Training, is_name
from tests.unit.searching.spaces import TRAINING as SPACE

SHARED = Training({"name": "sgd", "lr": 0.05, "momentum": 0.9}, 64, None, {"width": 32, "head": {"layers": 2}})


def test_an_empty_configuration_leaves_what_is_shared() -> None:
    assert SHARED.of({}) == {
        "model": {"width": 32, "head": {"layers": 2}},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "batch_size": 64,
        "clip_norm": None,
    }


def test_every_name_of_a_configuration_gets_to_its_place() -> None:
    config = {"model.width": 8, "model.head.layers": 3, "optimizer.lr": 0.1, "batch_size": 16, "clip_norm": 1.0}
    assert SHARED.of(config) == {
        "model": {"width": 8, "head": {"layers": 3}},
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "batch_size": 16,
        "clip_norm": 1.0,
    }
    assert SHARED.model == {"width": 32, "head": {"layers": 2}}  # shared, and not written to


def test_another_optimizer_keeps_the_shared_learning_rate_and_none_of_the_other_options() -> None:
    assert SHARED.of({"optimizer.name": "adamw"})["optimizer"] == {"name": "adamw", "lr": 0.05}
    assert SHARED.of({"optimizer.name": "sgd"})["optimizer"] == {"name": "sgd", "lr": 0.05, "momentum": 0.9}
    config = {"optimizer.name": "adamw", "optimizer.weight_decay": 0.1}
    assert SHARED.of(config)["optimizer"] == {"name": "adamw", "lr": 0.05, "weight_decay": 0.1}


@given(seeds=st.tuples(st.integers(0, 1000), st.integers(0, 1000)))
def test_two_different_samples_train_differently(seeds: tuple[int, int]) -> None:
    one, other = (SPACE.sample(Random(seed)) for seed in seeds)
    assert (one == other) == (SHARED.of(one) == SHARED.of(other))


@pytest.mark.parametrize("name", ["model.width", "model.a.b", "optimizer.lr", "batch_size", "clip_norm"])
def test_a_name_that_a_trial_trains_with(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["model", "optimizer", "epochs", "batch_size.x", "optimiser.lr"])
def test_a_name_that_leads_nowhere(name: str) -> None:
    assert not is_name(name)
