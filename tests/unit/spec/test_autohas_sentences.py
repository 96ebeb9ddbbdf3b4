"""What is wrong with a search by AutoHAS, told before anything starts; and what its defaults come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec import Spec
from orchestrator.strategies import Autohas
from orchestrator.verbs import verb_of
from tests.unit.spec.test_search_sentences import GOOD, problems

MANY = {f"model.a{number}": {"choice": [0, 1]} for number in range(10)}
AT = "search.method.autohas"

SENTENCES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"confirm": None}, "search.confirm is null, but autohas has no trained trial to hand over. Leave it out"),
    ({"quorum": "dynamic"}, {}, f"{AT}.quorum is dynamic, which weighs gradients, and candidates have none. Use full"),
    ({"quorum": {"static": {"k": 5}}}, {}, f"{AT}.quorum.static.k is 5 but an update has 4 candidates"),
    ({"quorum": {"static": {"k": 9}}, "candidates": 8}, {}, f"{AT}.quorum.static.k is 9 but an update has 8 candid"),
    ({"steps": 0}, {}, f"{AT}.steps: 0 is not a whole number >= 1."),
    ({"candidates": 1}, {}, f"{AT}.candidates: 1 is not a whole number >= 2 or null."),
    ({"floor": 1.0}, {}, f"{AT}.floor: 1.0 is not a number >= 0 and < 1."),
    ({"weights": "warm"}, {}, f"{AT}.weights: 'warm' is not one of auto, fresh, young, kept"),
]


@pytest.mark.parametrize(
    ("options", "keys", "sentence"), SENTENCES, ids=[sentence[:50] for _, _, sentence in SENTENCES]
)
def test_it_is_said_in_these_words(
    tmp_path: Path, options: dict[str, Any], keys: dict[str, Any], sentence: str
) -> None:
    said = problems(tmp_path, method={"autohas": options}, **keys)
    assert len(said) == 1, said
    assert said[0].startswith(sentence)


@pytest.mark.parametrize("weights", ["auto", "young", "kept"])
def test_too_many_architectures_cannot_share_weights(tmp_path: Path, weights: str) -> None:
    said = problems(tmp_path, method={"autohas": {"weights": weights}}, space=MANY)
    sharing = [sentence for sentence in said if "more than 1,000 architectures" in sentence]
    assert [sentence.partition(",")[0] for sentence in sharing] == [f"{AT}.weights is {weights}"]
    assert not any(
        "1,000" in sentence for sentence in problems(tmp_path, method={"autohas": {"weights": "fresh"}}, space=MANY)
    )


def settings_of(method: Any, **search: Any) -> Any:
    spec = Spec.model_validate({**GOOD, "search": {**GOOD["search"], "method": method, **search}})
    strategy = verb_of(spec).strategy(spec)
    assert isinstance(strategy, Autohas)
    return strategy.settings


def test_training_that_is_searched_begins_from_fresh_weights() -> None:
    settings = settings_of("autohas")
    assert (settings.weights, settings.warm_up, settings.candidates, settings.steps) == ("fresh", 0, 4, 20)
    assert settings.policy.baseline == "leave_one_out"
    assert settings.final.seeds >= 2


def test_architectures_alone_keep_their_shared_weights_and_warm_them_up() -> None:
    width = {"model.width": {"choice": [8, 16]}}
    settings = settings_of({"autohas": {"updates": 40}}, space=width, workers=6)
    assert (settings.weights, settings.warm_up, settings.candidates) == ("kept", 10, 6)
    assert settings_of({"autohas": {"updates": 40, "warm_up": 3}}, space=width).warm_up == 3
    assert settings_of({"autohas": {"weights": "young"}}, space=width).warm_up == 0


def test_more_favourites_than_trials_are_no_contradiction(tmp_path: Path) -> None:
    assert problems(tmp_path, method="autohas", trials=1, confirm={"top": 3, "seeds": 2}) == []
