"""What is said of a `merge`, and what its short forms stand for."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.spec import Spec
from orchestrator.spec.contradictions import contradictions
from orchestrator.spec.merge import top_of
from orchestrator.spec.shape import shape
from orchestrator.spec.source import Source, overridden
from orchestrator.spec.stages import continued
from orchestrator.spec.world import absences

TASK = "tests.support.digits_task:Digits"
GOOD: dict[str, Any] = {"task": TASK, "merge": {"workers": 2, "parents": {"count": 3}}}


def sentences(*overrides: str) -> list[str]:
    source = overridden(Source(GOOD), overrides)
    spec, problems = shape(source)
    if problems:
        return [problem.message for problem in problems]
    return [complaint.message for complaint in (*contradictions(spec), *absences(spec))]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["merge.parents.count=1"], "merge.parents.count: 1 is not a whole number >= 2."),
        (
            ["merge.sources=[3]"],
            "merge.sources.0: 3 is not non-empty text or a mapping with the keys path, name, model, run.",
        ),
        (["merge.method=3"], "merge.method: 3 is not non-empty text or a mapping of names to values or a list."),
        (["merge.metric=f1"], "merge.metric is f1, which Digits.metrics() does not return. Allowed: accuracy, loss."),
        (["merge.mode=more"], "merge.mode: 'more' is not one of max, min."),
        (
            ["merge.sources=[a.safetensors]"],
            "merge.sources is given, but merge.parents trains the models to merge, and their base. Leave out one.",
        ),
        (
            ["merge.base=run:x"],
            "merge.base is given, but merge.parents trains the models to merge, and their base. Leave out one.",
        ),
        (
            ["merge.parents=null"],
            "merge.sources is empty, so there is nothing to merge. Name models, or have them trained here: "
            "parents: {count: 4}.",
        ),
        (
            ["merge.parents=null", "merge.sources=[a.safetensors]"],
            "merge.sources is one model, which would only be itself. Name two or more, or give its base too.",
        ),
        (["merge.method=[]"], "merge.method is an empty list, so there is nothing to try. Use method: greedy_soup."),
        (
            ["merge.method={ties: {}, uniform: {}}"],
            "merge.method names 2 methods in one mapping; write a list with one in each.",
        ),
        (
            ["merge.method={ties: {density: []}}"],
            "merge.method.ties.density is an empty list, so nothing would be tried.",
        ),
        (
            ["merge.method=tise"],
            "merge.method names no method: 'tise' is not a merge method; did you mean 'ties'? "
            "Allowed: atlas, ensemble, greedy_soup, iso_c, model_stock, slerp, task_arithmetic, ties, uniform.",
        ),
        (
            ["merge.method={ties: {density: [0.2, 1.5]}}"],
            "merge.method.ties.density: 1.5 is not a number <= 1.",
        ),
        (["merge.method={ties: {alpha: x}}"], "merge.method.ties.alpha: 'x' is not a number."),
        (["merge.method={atlas: {steps: 0}}"], "merge.method.atlas.steps: 0 is not a whole number >= 1."),
        (
            ["merge.method={ties: {combine: mode}}"],
            "merge.method.ties.combine: 'mode' is not one of mean, sum.",
        ),
        (
            ["merge.method={ties: {desnity: 0.5}}"],
            "merge.method.ties.desnity: there is no such option; did you mean 'density'? "
            "Allowed: alpha, combine, density.",
        ),
        (
            ["merge.method=slerp"],
            "merge.method cannot work: slerp needs exactly 2 sources; it got 3 sources.",
        ),
        (
            ["merge.parents.optimizer={name: sgd, lr: 0.1, momentun: 0.9}"],
            "merge.parents.optimizer.momentun: 'sgd': has no option 'momentun'; did you mean 'momentum'?",
        ),
        (["merge.model={widht: 3}"], "merge.model.widht: Digits.model() has no argument 'widht'; did you mean 'width'"),
    ],
)
def test_a_bad_merge_gets_this_sentence(overrides: list[str], sentence: str) -> None:
    said = sentences(*overrides)
    assert any(message.startswith(sentence) for message in said), said


@pytest.mark.parametrize(
    "method",
    [
        "uniform",
        "[uniform, greedy_soup, ensemble]",
        "{ties: }",
        "{task_arithmetic: {alpha: [0.1, 0.5, 1]}}",
        "[{ties: {density: 0.5, combine: sum}}, {iso_c: {convolutions: matrix}}, {atlas: {steps: 5}}]",
    ],
)
def test_a_good_method_gets_none(method: str) -> None:
    assert sentences(f"merge.method={method}") == []


def test_a_list_of_values_tries_each_and_two_lists_every_pair() -> None:
    spec = Spec.model_validate(
        {"merge": {**GOOD["merge"], "method": ["uniform", {"ties": {"density": [0.2, 0.5], "alpha": [1, 2]}}]}}
    )
    assert spec.merge is not None
    assert spec.merge.grid == [
        ("uniform", {}),
        *(("ties", {"density": density, "alpha": alpha}) for density in (0.2, 0.5) for alpha in (1, 2)),
    ]


def test_a_spec_reads_back_as_it_was_written() -> None:
    merge = {"workers": 2, "sources": ["run:a", {"path": "x", "model": {"width": 3}}], "base": "b", "method": "ties"}
    spec = Spec.model_validate({"task": TASK, "merge": merge})
    assert Spec.model_validate(spec.model_dump(mode="json")) == spec


def test_a_source_stands_for_as_many_models_as_it_says() -> None:
    assert [top_of(source) for source in ("search:r/top:5", "search:r", "run:r", "dir/top:5")] == [5, 1, 1, 1]


@pytest.mark.parametrize(
    ("before", "sources"),
    [("search", ["search:r.1/top:8"]), ("train", ["run:r.1"])],
)
def test_a_merge_in_a_chain_takes_what_came_before_unless_it_names_its_own(before: str, sources: list[str]) -> None:
    first: dict[str, Any] = {
        "workers": 1,
        **({"space": {"optimizer.lr": {"log": [0.1, 1]}}} if before == "search" else {}),
    }
    for own in ([], ["a", "b"]):
        merge = {"workers": 1, "sources": own}
        spec = Spec.model_validate({"task": TASK, before: first, "then": [{"merge": merge}]})
        section = continued(spec, 1, "r.1", {"width": 3}).merge
        assert section is not None
        assert section.sources == (own or sources)
        assert section.model == {"width": 3}
