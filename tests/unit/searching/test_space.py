"""Spaces: what is drawn lies in them, what is declared is read back, and what is wrong is said."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.searching.basis import active, basis, config_of, covering
from orchestrator.searching.declaration import declared, read_space
from orchestrator.searching.space import Choice, Float, Int, Parameter, Space
from tests.unit.searching.spaces import NO_FAULTS, TRAINING, ranges, spaces

some = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32)


@some
@given(space=spaces, seed=seeds)
def test_every_sample_lies_in_the_space_and_equal_chance_draws_equal_samples(space: Space, seed: int) -> None:
    config = space.sample(Random(seed))
    assert config in space
    assert config == space.sample(Random(seed))


@some
@given(space=spaces, seed=seeds)
def test_a_config_with_a_parameter_more_or_less_or_out_of_range_is_not_in_the_space(space: Space, seed: int) -> None:
    config = space.sample(Random(seed))
    assert {**config, "further": 1} not in space
    for parameter in space.active(config):
        assert {name: value for name, value in config.items() if name != parameter.name} not in space
        assert {**config, parameter.name: object()} not in space


@some
@given(space=spaces, seed=seeds)
def test_completing_a_config_changes_nothing_and_completing_a_part_keeps_that_part(space: Space, seed: int) -> None:
    config = space.sample(Random(seed))
    assert space.complete(config, Random(0)) == config
    first = space.parameters[0].name
    assert space.complete({first: config[first]}, Random(seed + 1))[first] == config[first]


@some
@given(space=spaces)
def test_a_declaration_is_read_back_as_the_same_space_also_through_json(space: Space) -> None:
    again, faults = read_space(json.loads(json.dumps(declared(space))))
    assert not faults
    assert again == space


@some
@given(domain=ranges, place=st.floats(0, 1))
def test_every_place_of_a_range_is_a_value_of_it_and_the_ends_are_the_ends(domain: Float | Int, place: float) -> None:
    assert domain.at(place) in domain
    assert domain.at(0) == domain.low
    assert domain.at(1) == domain.high


@pytest.mark.parametrize("log", [False, True])
def test_every_whole_number_of_a_range_is_drawn_both_ends_included(log: bool) -> None:
    random = Random(0)
    assert {Int(1, 5, log).at(random.random()) for _ in range(300)} == {1, 2, 3, 4, 5}


def test_a_log_range_gives_each_decade_the_same_share() -> None:
    random = Random(0)
    small = sum(Float(0.001, 1.0, log=True).at(random.random()) < 0.01 for _ in range(3000))
    assert abs(small / 3000 - 1 / 3) < 0.03


def test_conditional_parameters_exist_only_under_their_option() -> None:
    assert not NO_FAULTS
    configs = [TRAINING.sample(Random(seed)) for seed in range(20)]
    assert {config["optimizer.name"] for config in configs} == {"sgd", "adamw"}
    for config in configs:
        assert ("optimizer.momentum" in config) == (config["optimizer.name"] == "sgd")
        assert ("optimizer.weight_decay" in config) == (config["optimizer.name"] == "adamw")


def test_a_space_of_python_objects_is_the_one_of_yaml() -> None:
    space, faults = read_space(
        {
            "lr": Float(0.1, 1.0, log=True),
            "width": Choice.of(16, 32),
            "depth": {"int": [1, 3]},
            "bias": {"choice": [True]},
        }
    )
    assert not faults
    assert declared(space) == {
        "lr": {"log": [0.1, 1.0]},
        "width": {"choice": [16, 32]},
        "depth": {"int": [1, 3]},
        "bias": {"choice": [True]},
    }
    assert {"lr": 0.5, "width": 16, "depth": 2, "bias": True} in space
    assert {"lr": 0.5, "width": 16, "depth": 2, "bias": 1} not in space


@some
@given(space=spaces, n=st.integers(1, 6), seed=seeds)
def test_every_pick_of_the_basis_is_a_config_of_the_space(space: Space, n: int, seed: int) -> None:
    categories = basis(space, n)
    random = Random(seed)
    picks = [random.randrange(len(category.options)) for category in categories]
    assert config_of(categories, picks) in space
    assert all(category.parent is None or category.parent < number for number, category in enumerate(categories))
    assert sum(active(categories, picks)) == len(config_of(categories, picks))


@some
@given(space=spaces, n=st.integers(1, 3))
def test_what_covers_a_basis_has_every_option_of_every_decision_where_it_exists(space: Space, n: int) -> None:
    categories = basis(space, n)
    tried: dict[int, list[object]] = {}
    for number, config in covering(categories):
        assert config in space
        tried.setdefault(number, []).append(config[categories[number].name])
    assert tried == {number: list(category.options) for number, category in enumerate(categories)}


def test_a_basis_spaces_its_values_evenly_in_the_logarithm_where_the_range_is_one() -> None:
    lr, momentum = (
        category.options for category in basis(TRAINING, 4) if category.name in ("optimizer.lr", "optimizer.momentum")
    )
    assert lr == pytest.approx((0.001, 0.01, 0.1, 1.0))
    assert momentum == pytest.approx((0.0, 0.33, 0.66, 0.99))


FAULTS = {
    "is empty, so there is nothing to search": {},
    "a: is 3. Allowed: {float: [low, high]}": {"a": 3},
    "a.flot: is no kind of range; did you mean 'float'? Allowed: {float:": {"a": {"flot": [0, 1]}},
    'a.log: is "yes". Use log: true, or log: [low, high] alone.': {"a": {"int": [1, 2], "log": "yes"}},
    "a: needs exactly one range and has 2.": {"a": {"float": [0, 1], "int": [0, 1]}},
    "a.float: is [1, 0], but the low end comes first. Use float: [0, 1].": {"a": {"float": [1, 0]}},
    "a.float: is [0, Infinity], which are not two numbers": {"a": {"float": [0, float("inf")]}},
    "a.float: is 3, which are not two numbers": {"a": {"float": 3}},
    "a.log: is [0, 1], but a logarithm needs both ends above 0. Use for example [0.001, 1]": {"a": {"log": [0, 1]}},
    "a.log: is [-1, 1], but a logarithm needs both ends above 0": {"a": {"log": [-1, 1]}},
    "a.int: is [0, 4], but a logarithm needs": {"a": {"int": [0, 4], "log": True}},
    "a.int: is [0.5, 1], which are not whole numbers": {"a": {"int": [0.5, 1]}},
    "a.log: goes with int only": {"a": {"float": [0, 1], "log": True}},
    "a.choice: is [], so there is nothing to choose": {"a": {"choice": []}},
    "a.choice: is {}, so there is nothing to choose": {"a": {"choice": {}}},
    "a.choice: is 3. Use choice: [a, b, …]": {"a": {"choice": 3}},
    "a.choice.1: is 2, which is an option already": {"a": {"choice": [2, 2]}},
    "a.choice.x: is 3. Under an option stand names": {"a": {"choice": {"x": 3}}},
    "a.choice.1: is 3. Under an option stand names": {"a": {"choice": [1, {"value": 2, "then": 3}]}},
    "a.choice.0.b.int: is [2, 1], but the low": {"a": {"choice": [{"value": 2, "then": {"b": {"int": [2, 1]}}}]}},
    "a.choice.x.b.float: is [1, 0], but the low end": {"a": {"choice": {"x": {"b": {"float": [1, 0]}}}}},
    "a b: is no name": {"a b": {"float": [0, 1]}},
    "a.b: cannot be searched together with a: one stands within": {"a": {"float": [0, 1]}, "a.b": {"int": [0, 1]}},
    "b: is declared twice": {"a": {"choice": {"x": {"b": {"int": [0, 1]}}}}, "b": {"int": [0, 1]}},
}


@pytest.mark.parametrize("expected", FAULTS)
def test_a_fault_is_said_where_it_stands(expected: str) -> None:
    _, faults = read_space(FAULTS[expected])  # type: ignore[arg-type]
    (said,) = (": ".join(filter(None, (".".join(map(str, fault.keys)), fault.why))) for fault in faults)
    assert said.startswith(expected)


def test_all_faults_are_said_at_once_and_the_rest_can_be_used() -> None:
    space, faults = read_space({"a": {"float": [1, 0]}, "b": {"choice": []}, "c": {"int": [1, 2]}})
    assert [fault.keys for fault in faults] == [("a", "float"), ("b", "choice")]
    assert space == Space((Parameter("c", Int(1, 2)),))


def test_one_name_may_stand_under_two_options_of_a_choice() -> None:
    space, faults = read_space({"a": {"choice": {"x": {"lr": {"float": [0, 1]}}, "y": {"lr": {"log": [1e-3, 1e-2]}}}}})
    assert not faults
    assert {"a": "x", "lr": 0.5} in space
    assert {"a": "y", "lr": 0.5} not in space


def test_an_option_that_is_a_number_may_have_parameters_of_its_own() -> None:
    space, faults = read_space({"depth": {"choice": [1, {"value": 2, "then": {"skip": {"choice": [True]}}}]}})
    assert not faults
    assert {"depth": 1} in space
    assert {"depth": 2, "skip": True} in space
    assert {"depth": 2} not in space
    assert read_space(declared(space)) == (space, ())
