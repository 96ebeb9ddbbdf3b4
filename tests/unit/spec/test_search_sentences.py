"""What is wrong with a search, told before anything starts, all at once and each at its line."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from orchestrator.searching.searchers import SEARCHERS
from orchestrator.searching.space import Choice, Float
from orchestrator.spec import Spec, SpecInvalid, check
from orchestrator.spec.search import Method
from tests.support.digits_task import Digits

GOOD: dict[str, Any] = {
    "task": "tests.support.digits_task:Digits",
    "search": {"workers": 2, "trials": 9, "epochs": 3.0, "space": {"optimizer.lr": {"log": [0.001, 1.0]}}},
}


def problems(state: Path, **search: Any) -> list[str]:
    """What is said of the good search with these keys."""
    spec = {**GOOD, "state": str(state), "search": {**GOOD["search"], **search}}
    try:
        check(spec)
    except SpecInvalid as invalid:
        return [problem.message for problem in invalid.problems]
    return []


SENTENCES: list[tuple[dict[str, Any], str]] = [
    ({"start": "run:nobody"}, "search.start 'run:nobody' names no run in"),
    ({"space": {}}, "search.space is empty, so there is nothing to search. Give it a name"),
    (
        {"space": {"model.width": {"choice": []}}},
        "search.space.model.width.choice is [], so there is nothing to choose.",
    ),
    ({"space": {"optimizer.lr": {"log": [0, 1]}}}, "search.space.optimizer.lr.log is [0, 1], but a logarithm needs"),
    ({"space": {"optimizer.lr": {"float": [1, 0.1]}}}, "search.space.optimizer.lr.float is [1, 0.1], but the low end"),
    ({"space": {"batchsize": {"int": [1, 2]}}}, "search.space.batchsize is nothing that a trial trains with; did you"),
    (
        {"space": {"batch_size": {"float": [1, 2]}}},
        "search.space.batch_size has 1.0 among its values, but it must be a",
    ),
    (
        {"space": {"batch_size": {"choice": [0]}}},
        "search.space.batch_size has 0 among its values, but it must be a whole",
    ),
    (
        {"space": {"optimizer.lr": {"float": [-1, 1]}}},
        "search.space.optimizer.lr has -1.0 among its values, but it must be a number above 0.",
    ),
    (
        {"space": {"optimizer.name": {"choice": [3, "sgd"]}}},
        "search.space.optimizer.name has 3 among its values, but it must be the name of an optimizer of torch.optim.",
    ),
    ({"space": {"clip_norm": {"float": [0, 2]}}}, "search.space.clip_norm has 0.0 among its values, but it must be a"),
    (
        {"space": {"model.widht": {"choice": [8]}}},
        "search.space.model.widht: Digits.model() has no argument 'widht'; did",
    ),
    (
        {"space": {"optimizer.name": {"choice": ["sgd", "adamm"]}}},
        "search.space.optimizer.name: 'adamm': torch.optim has no such optimizer; did you mean 'adam",
    ),
    (
        {"space": {"optimizer.name": {"choice": {"adam": {"optimizer.momentum": {"float": [0, 0.9]}}}}}},
        "search.space.optimizer.name.choice.adam.optimizer.momentum: 'adam': has no option 'momentum'. Allowed:",
    ),
    ({"method": "asah"}, "search.method: 'asah' is not one of"),
    ({"method": {"asha": {"eta": 1}}}, "search.method.asha.eta: 1 is not a number > 1."),
    (
        {"method": {"asha": {"first": 3}}},
        "search.method.asha.first is 3 but search.epochs is 3, so only one rung is left and nobody is ever compared.",
    ),
    ({"confirm": {"top": 10}}, "search.confirm.top is 10 but search.trials is 9. Use top <= 9, or trials >= 10."),
    ({"confirm": {"seeds": 1}}, "search.confirm.seeds: 1 is not a whole number >= 2."),
    (
        {"method": "pbt", "space": {"model.width": {"choice": [8, 16]}}},
        "search.space.model.width cannot be searched by pbt, for weights are copied between members",
    ),
    (
        {"method": "pbt", "space": {"optimizer.name": {"choice": ["sgd", "adam"]}}},
        "search.space.optimizer.name cannot be searched by pbt, for the optimizer's memory is copied",
    ),
    (
        {"method": "pbt", "trials": 3},
        "search.trials is 3, of which a quantile of 0.25 is nobody. Use trials >= 4.",
    ),
    ({"trials": 2, "confirm": None}, "search.trials is 2 but one in 3 goes on, so nobody ever would. Use trials >= 3."),
    ({"method": {"pbt": {"interval": 5}}}, "search.method.pbt.interval is 5 but search.epochs is 3, so no member has"),
    ({"trials": 0}, "search.trials: 0 is not a whole number >= 1."),
    ({"mode": "best"}, "search.mode: 'best' is not one of max, min."),
    (
        {"metric": "acuracy"},
        "search.metric is acuracy, which Digits.metrics() does not return; did you mean 'accuracy'? Allowed: accuracy,",
    ),
    ({"min_workers": 3}, "search.min_workers is 3 but search.workers is 2"),
]


@pytest.mark.parametrize(("keys", "sentence"), SENTENCES, ids=[sentence[:60] for _, sentence in SENTENCES])
def test_it_is_said_in_these_words(tmp_path: Path, keys: dict[str, Any], sentence: str) -> None:
    said = problems(tmp_path, **keys)
    assert len(said) == 1, said
    assert said[0].startswith(sentence)


def test_the_good_search_is_good(tmp_path: Path) -> None:
    assert problems(tmp_path) == []
    for method in ("random", "successive_halving", "asha", "pbt", "tpe", {"asha": {"eta": 2, "first": 0.5}}):
        assert problems(tmp_path, method=method) == []
    assert problems(tmp_path, confirm=None) == []


def test_all_faults_are_told_at_once_each_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(
        "task: tests.support.digits_task:Digits\n"
        "search:\n"
        "  workers: 2\n"
        "  space:\n"
        "    model.width: {choice: []}\n"
        "    optimizer.lr: {log: [0, 1]}\n"
        "    optimizer.name:\n"
        "      choice:\n"
        "        sgd: {optimizer.momentum: {float: [1, 0]}}\n"
    )
    with pytest.raises(SpecInvalid) as caught:
        check(file)
    assert [problem.place.rpartition(":")[2] for problem in caught.value.problems] == ["5", "6", "9"]


def test_a_search_without_a_space_says_so(tmp_path: Path) -> None:
    search = {key: value for key, value in GOOD["search"].items() if key != "space"}
    with pytest.raises(SpecInvalid) as caught:
        check({**GOOD, "state": str(tmp_path), "search": search})
    assert [problem.message.partition(";")[0] for problem in caught.value.problems] == ["search.space: missing"]


def test_a_space_may_be_declared_in_python(tmp_path: Path) -> None:
    space = {"optimizer.lr": Float(0.001, 1.0, log=True), "model.width": Choice.of(8, 16)}
    spec = check({**GOOD, "state": str(tmp_path), "search": {**GOOD["search"], "space": space}})
    assert spec.search is not None
    assert spec.search.space == {"optimizer.lr": {"log": [0.001, 1.0]}, "model.width": {"choice": [8, 16]}}
    assert Spec.model_validate_json(spec.canonical_json) == spec


def test_a_needed_argument_of_the_model_may_stand_in_the_space_alone(tmp_path: Path) -> None:
    task = "tests.unit.spec.test_search_sentences:Needy"
    assert [p.partition(",")[0] for p in problems_of(task, tmp_path, GOOD["search"]["space"])] == [
        "search.model: Needy.model() needs the argument 'width'"
    ]
    assert problems_of(task, tmp_path, {"model.width": {"choice": [8]}}) == []


def problems_of(task: str, state: Path, space: Any) -> list[str]:
    try:
        check({"task": task, "state": str(state), "search": {**GOOD["search"], "space": space}})
    except SpecInvalid as invalid:
        return [problem.message for problem in invalid.problems]
    return []


def test_a_model_that_cannot_be_made_is_refused_where_its_argument_stands(tmp_path: Path) -> None:
    task = "tests.unit.spec.test_search_sentences:Choosy"
    assert problems_of(task, tmp_path, {"model.activation": {"choice": ["relu", "rleu"]}}) == [
        "search.space.model.activation: Choosy.model(activation='rleu') raises KeyError: 'rleu'."
    ]
    assert problems_of(task, tmp_path, {"model.activation": {"choice": ["relu", "no meta", "odd"]}}) == []


class Choosy(Digits):
    def model(self, width: int = 8, activation: str = "relu") -> Any:
        if activation == "no meta":
            raise ValueError("a tensor on device meta has no data")
        if activation == "odd":
            raise RuntimeError("who knows")
        return super().model({"relu": width}[activation])


class Needy(Digits):
    def model(self, width: int) -> Any:  # type: ignore[override]
        return super().model(width)


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_can_be_named_and_its_options_are_the_specs(name: str) -> None:
    options = Method.model_validate(name).options.model_dump()
    assert options.keys() == signature(SEARCHERS[name]).parameters.keys() - {"scope"}
    defaults = {option: signature(SEARCHERS[name]).parameters[option].default for option in options}
    assert options == defaults


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        (
            {"method": "autohas"},
            "search.start cannot be given with autohas, whose tries start from fresh weights. "
            "Leave it out, or use asha.",
        ),
        (
            {"space": {"model.width": {"choice": [8, 16]}}},
            "search.space.model.width cannot be searched where all trials start from one model (search.start). "
            "Leave one of them out.",
        ),
    ],
)
def test_what_cannot_start_from_one_model_is_said(tmp_path: Path, search: dict[str, Any], sentence: str) -> None:
    assert sentence in problems(tmp_path, start="run:nobody", **search)


def test_few_trials_are_no_mistake_where_nobody_asked_for_confirmation(tmp_path: Path) -> None:
    assert problems(tmp_path, trials=2, method="random") == []
