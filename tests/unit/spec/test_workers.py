"""How many workers: one number, or as many as there is room for between two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.assemble import core_of
from orchestrator.records import Joined, Wake
from orchestrator.spec import Spec
from orchestrator.spec.contradictions import contradictions
from orchestrator.spec.models import VERBS
from orchestrator.spec.shape import shape
from orchestrator.spec.source import Source
from orchestrator.verbs import verb_of
from orchestrator.workers import needs_of

REQUIRED: Mapping[str, Mapping[str, object]] = {
    "search": {"space": {"batch_size": {"int": [8, 64]}}},
    "merge": {"sources": ["a.safetensors", "b.safetensors"]},
}


def spec_of(verb: str = "train", **section: Any) -> Spec:
    source = Source({"task": "package.module:Class", verb: {**REQUIRED.get(verb, {}), **section}})
    spec, problems = shape(source)
    assert not problems
    return spec


@pytest.mark.parametrize("verb", VERBS)
@given(least=st.integers(1, 20), more=st.integers(0, 20))
def test_a_range_begins_with_its_least_and_grows_to_its_most(verb: str, least: int, more: int) -> None:
    spec = spec_of(verb, workers={"min": least, "max": least + more})
    section = spec.section
    assert (section.first_workers, section.least_workers, section.most_workers) == (least, least, least + more)
    assert list(contradictions(spec)) == []
    assert len(needs_of(spec)) == 1 + least
    assert ("workers", f"{least} to {least + more}") in [
        (name, value.partition(",")[0]) for name, value in verb_of(spec).describe(spec)
    ]


@pytest.mark.parametrize("verb", VERBS)
@given(workers=st.integers(1, 20), least=st.none() | st.integers(1, 20))
def test_one_number_is_all_of_them_from_the_start(verb: str, workers: int, least: int | None) -> None:
    section = spec_of(verb, workers=workers, min_workers=least).section
    assert (section.first_workers, section.least_workers, section.most_workers) == (workers, least or 1, workers)


@given(least=st.integers(1, 5), more=st.integers(0, 5), joined=st.integers(0, 9))
def test_a_range_does_not_wait_for_more_than_its_least(least: int, more: int, joined: int) -> None:
    core = core_of(spec_of(workers={"min": least, "max": least + more}))
    actions = core.handle(Wake(0.0, tuple(Joined(f"worker-{number}") for number in range(joined))))
    assert ("connected" in actions.waiting and "workers" in actions.waiting) == (joined < least)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            {"workers": {"min": 5, "max": 2}},
            "train.workers.min is 5 but train.workers.max is 2. Use min <= 2 or max >= 5.",
        ),
        (
            {"workers": {"min": 2, "max": 8}, "min_workers": 2},
            "train.min_workers is 2, but train.workers says 2 to 8, and its min is the same thing. "
            "Give one of the two.",
        ),
        (
            {"workers": {"min": 2, "max": 8}, "quorum": {"static": {"k": 12}}},
            "train.quorum.static.k is 12 but train.workers.max is 8, so no round could ever end. "
            "Use k <= 8 or workers.max >= 12.",
        ),
    ],
)
def test_numbers_that_cannot_stand_together_get_this_sentence(section: dict[str, Any], sentence: str) -> None:
    assert [complaint.message for complaint in contradictions(spec_of(**section))] == [sentence]


def test_a_static_quorum_may_wait_for_more_than_the_least() -> None:
    spec = spec_of(workers={"min": 2, "max": 8}, quorum={"static": {"k": 8}})
    assert list(contradictions(spec)) == []


def test_the_numbers_of_a_later_stage_are_looked_at_too() -> None:
    merge = {"workers": {"min": 3, "max": 2}, "method": "uniform_soup"}
    source = Source({"task": "package.module:Class", "train": {"workers": 1}, "then": [{"merge": merge}]})
    spec, problems = shape(source)
    assert not problems
    found = [complaint.message for complaint in contradictions(spec)]
    assert "then.0.merge.workers.min is 3 but merge.workers.max is 2. Use min <= 2 or max >= 3." in found
