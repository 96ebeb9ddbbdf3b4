"""What a worker's process is told at its start, and what its errors survive."""

from __future__ import annotations

import inspect
import json
import pickle
import random
from itertools import product

import numpy
import pytest
import torch

import trainers
from trainers import errors, keep_freed_memory, machine, make_deterministic, randomness
from trainers.randomness import derive, seeded

EXAMPLES = [
    errors.TaskInvalid("a.b:C", "no such module"),
    errors.ArgumentInvalid("Mine", "widht", ("width",)),
    errors.OptimizerInvalid("sdg", "unknown"),
    errors.DataInvalid("train.gz", "is damaged"),
    errors.LabelsMissing("its samples are not pairs of inputs and label"),
    errors.PartitionImpossible(10, 5, 3),
    errors.SamplesMissing(200, 100),
    errors.BlockMissing(3, 64, 100),
    errors.ModelUnsupported("it has no parameters"),
    errors.WeightsMismatch("weights", "3 parameters", "4 parameters"),
    errors.SharingImpossible("layer.weight", (3, 4), (5, 4), "their kernels differ"),
    errors.ValueDamaged("3 bytes"),
    errors.KindUnknown("gradiant", ("gradient",)),
    errors.RuleUnknown("fedavgg", ("fedavg",)),
    errors.ScheduleInvalid("CosineLR", "unknown"),
    errors.Interrupted(3, 8),
    errors.NonFinite("loss", 1, 2),
    errors.ClientDiverged("7", 1, 2),
]


def test_every_error_is_drawn_in_the_tree_and_has_an_example_here() -> None:
    classes = {value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__}
    assert classes - {errors.TrainersError} == {type(example) for example in EXAMPLES}
    assert all(value.__name__ in str(errors.__doc__) for value in classes)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error: errors.TrainersError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_all_public_names_exist() -> None:
    assert all(hasattr(trainers, name) for name in trainers.__all__)
    assert trainers.__all__ == sorted(trainers.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))


def test_the_machines_description_is_json_and_knows_the_threads() -> None:
    make_deterministic(threads=1)
    described = json.loads(json.dumps(machine(torch.device("cpu"))))
    assert described["threads"] == 1
    assert described["torch"] == torch.__version__


def test_an_operation_that_is_not_repeatable_may_not_run() -> None:
    make_deterministic(threads=1)
    assert torch.are_deterministic_algorithms_enabled()


def test_keeping_freed_memory_may_be_asked_more_than_once() -> None:
    keep_freed_memory()
    keep_freed_memory()


def draws() -> list[float]:
    return [torch.rand(()).item(), random.random(), float(numpy.random.rand())]


@pytest.mark.parametrize("claimed", [False, True])
def test_seeding_reaches_every_global_generator_and_is_undone(claimed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness, "_claimed", claimed)
    cpu = torch.device("cpu")
    with seeded(5, cpu):
        outer = draws()
        with seeded(6, cpu):
            assert draws() != outer
        after = draws()
    with seeded(5, cpu):
        assert draws() == outer
        assert draws() == after


def test_what_the_generators_of_a_users_process_give_is_not_disturbed() -> None:
    with seeded(4, torch.device("cpu")):
        undisturbed = [draws() for _ in range(2)]
    torch.manual_seed(4)
    random.seed(4)
    numpy.random.seed(4)
    before = draws()
    with seeded(6, torch.device("cpu")):
        draws()
    assert [before, draws()] == undisturbed


def test_seeding_equals_torchs_own() -> None:
    with seeded(2**62, torch.device("cpu")):
        ours = torch.rand(3)
    torch.manual_seed(2**62)
    assert torch.equal(torch.rand(3), ours)


def test_derived_seeds_differ_by_seed_purpose_and_number() -> None:
    asked = product(range(10), ("epoch", "work"), range(9))
    seeds = {derive(seed, purpose, number) for seed, purpose, number in asked}
    assert len(seeds) == 180
    assert all(0 <= seed < 2**63 for seed in seeds)
