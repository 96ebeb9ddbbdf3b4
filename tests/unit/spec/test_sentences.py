"""What is wrong with a spec, told in these very words."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec import VERBS, Spec, SpecInvalid, Train, check
from orchestrator.spec.contradictions import contradictions
from orchestrator.spec.problems import Problem
from orchestrator.spec.schema import names
from orchestrator.spec.shape import shape
from orchestrator.spec.source import Source, overridden, read_file

GOOD = {"task": "package.module:Class", "train": {"workers": 4, "optimizer": {"name": "sgd", "lr": 0.1}}}
TRAIN_KEYS = ", ".join(Train.model_fields)
TOP_KEYS = ", ".join(Spec.model_fields)
QUORUMS = "Allowed: full, static: {k: N}, dynamic, dbw, adasync, rate."
WORKERS = "a whole number >= 1 or a mapping with the keys min, max"
PLAIN = "text, a finite number, true, false, null, a list or a mapping"


def sentences(*overrides: str) -> list[str]:
    """What is said of a good spec with these `--set`s, without the place."""
    source = overridden(Source(GOOD), overrides)
    _, problems = shape(source)
    return [problem.message for problem in (*source.problems, *problems)]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.workers=0", f"train.workers: 0 is not {WORKERS}."),
        ("train.workers='4'", f"train.workers: '4' is not {WORKERS}."),
        ("train.workers=4.5", f"train.workers: 4.5 is not {WORKERS}."),
        ("train.workers=true", f"train.workers: true is not {WORKERS}."),
        ("train.workers=", f"train.workers: null is not {WORKERS}."),
        ("train.workers={min: 0, max: 8}", "train.workers.min: 0 is not a whole number >= 1."),
        (
            "train.workers={min: 2}",
            "train.workers.max: missing; give a whole number >= 1 (more join while it runs, as the cluster has room, "
            "until there are so many).",
        ),
        ("train.workers={min: 2, max: 8, mean: 3}", "train.workers.mean: no such key. Allowed: min, max."),
        ("train.epochs=0", "train.epochs: 0 is not a number > 0."),
        ("train.epochs=.inf", "train.epochs: inf is not finite; allowed is a number > 0."),
        ("train.clip_norm=no", "train.clip_norm: 'no' is not a number > 0 or null."),
        ("train.optimizer=sgd", "train.optimizer: 'sgd' is not a mapping with the keys name, lr."),
        ("train.optimizer.lr=high", "train.optimizer.lr: 'high' is not a number > 0."),
        ("train.optimizer.momentum=.nan", f"train.optimizer.momentum: nan is not finite; allowed is {PLAIN}."),
        ("train.model={3: x}", "train.model.3: the name 3 is not text; put it in quotes."),
        ("train.evaluate_every=5", "train.evaluate_every: 5 is not {epochs: X} or {rounds: N}."),
        (
            "train.evaluate_every={rounds: 1, epochs: 1}",
            "train.evaluate_every: {'rounds': 1, 'epochs': 1} is not {epochs: X} or {rounds: N}.",
        ),
        ("train.evaluate_every.rounds=0", "train.evaluate_every.rounds: 0 is not a whole number >= 1."),
        ("train={~: 1}", "train.null: the name null is not text; put it in quotes."),
        (
            "federate={workers: 1, evaluate_every: {epochs: 2}}",
            "federate.evaluate_every: {'epochs': 2} is not {rounds: N}.",
        ),
        ("federate.aggregation.fedavg=3", "federate.aggregation.fedavg: 3 is not an empty mapping or null."),
        (
            "federate.partition={iid: {}, dirichlet: {}}",
            "federate.partition: {'iid': {}, 'dirichlet': {}} has 2 names; give exactly one.",
        ),
        ("serve.sites=[]", "serve.sites: [] is not a list of one or more."),
        ("train.wokers=4", f"train.wokers: no such key; did you mean 'workers'? Allowed: {TRAIN_KEYS}."),
        ("epochs=4", f"epochs: no such key; did you mean 'train.epochs'? Allowed: {TOP_KEYS}."),
        ("fnord=4", f"fnord: no such key. Allowed: {TOP_KEYS}."),
        ("task=3", "task: 3 is not text."),
        ("state=''", "state: '' is not non-empty text."),
        ("storage=''", "storage: '' is not non-empty text or null."),
        ("tracking.uri=''", "tracking.uri: '' is not non-empty text or null."),
        ("tracking.enabled=yes", "tracking.enabled: 'yes' is not true or false."),
        ("keep_journal=al", "keep_journal: 'al' is not one of all, since_snapshot; did you mean 'all'?"),
        (
            "inject.slow={worker: 3}",
            "inject.slow.factor: missing; give a number >= 1 (how many times as long it takes).",
        ),
        (
            "times.patience=3",
            "times.patience: no such key; did you mean 'patience_s'? "
            "Allowed: heartbeat_s, patience_s, hard_deadline_s.",
        ),
        ("seed=-1", "seed: -1 is not a whole number >= 0 and < 9.22337e+18."),
        ("train.quorum=dinamic", f"train.quorum: 'dinamic' is not a quorum; did you mean 'dynamic'? {QUORUMS}"),
        ("train.quorum=3", f"train.quorum: 3 is not a quorum. {QUORUMS}"),
        ("train.quorum={statik: {k: 2}}", f"train.quorum: 'statik' is not a quorum; did you mean 'static'? {QUORUMS}"),
        (
            "train.quorum=first",
            "train.quorum: 'first' is for work without rounds; "
            "a training round that waits for one result is static: {k: 1}.",
        ),
        ("train.quorum=static", "train.quorum: 'static' must know how many to wait for: static: {k: N}."),
        ("train.quorum.static=2", "train.quorum.static: 2 is not a mapping with the key k."),
        ("train.quorum.static.k=0", "train.quorum.static.k: 0 is not a whole number >= 1."),
        (
            "train.quorum.static.n=2",
            "train.quorum.static.k: missing; "
            "give a whole number >= 1 (results a round waits for, from 1 to as many as are asked).",
        ),
        ("train.quorum.dbw={}", "train.quorum: 'dbw' has no options; write quorum: dbw."),
        ("train.workers", "is not of the form key.key=value, such as train.workers=8."),
        ("train..workers=4", "is not of the form key.key=value, such as train.workers=8."),
        ("seed=[", "is not YAML: expected the node content, but found '<stream end>'."),
    ],
)
def test_a_bad_value_gets_this_sentence(override: str, sentence: str) -> None:
    assert sentence in sentences(override)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "train.quorum.static.k=12",
            "train.quorum.static.k is 12 but train.workers is 4, so no round could ever end. "
            "Use k <= 4 or workers >= 12.",
        ),
        (
            "train.min_workers=5",
            "train.min_workers is 5 but train.workers is 4, so the run would wait for ever. "
            "Use min_workers <= 4 or workers >= 5.",
        ),
        (
            "inject.slow={worker: 4, factor: 2}",
            "inject.slow.worker is 4 but train.workers is 4, and workers count from 0. Use worker <= 3.",
        ),
        (
            "resources.per_worker.gpu=1.5",
            "resources.per_worker.gpu is 1.5, but above 1 only whole GPUs are given. Use 1 or 2.",
        ),
    ],
)
def test_values_that_cannot_stand_together_get_this_sentence(override: str, sentence: str) -> None:
    spec, problems = shape(overridden(Source(GOOD), [override]))
    assert not problems
    assert [complaint.message for complaint in contradictions(spec)] == [sentence]


@pytest.mark.parametrize(
    "override",
    [
        "train.quorum.static.k=4",
        "train.quorum=full",
        "train.epochs=0.2",
        "train.optimizer.lr=1e-3",
        "train.optimizer={name: adamw, lr: 0.1, betas: [0.9, 0.99]}",
        "train.evaluate_every.rounds=100",
        "train.evaluate_every={epochs: 0.5}",
        "train.model={width: 32, activation: relu, layers: [1, 2]}",
        "resources.per_worker={cpu: 0.5, gpu: 2}",
        "times.hard_deadline_s=60",
        "inject.slow={worker: 3, factor: 5}",
    ],
)
def test_a_good_value_is_taken(override: str) -> None:
    assert sentences(override) == []


@given(
    st.sets(st.sampled_from(["", "train", "resources", "tracking", "times", "inject", "resources.per_worker"])),
    st.integers(1, 3),
)
def test_unknown_keys_are_told_all_at_once_wherever_they_are(sections: set[str], count: int) -> None:
    keys = sorted(f"{section}.x{number}".lstrip(".") for section in sections for number in range(count))
    assert sorted(text.partition(":")[0] for text in sentences(*(f"{key}=1" for key in keys))) == keys


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(names(())), anything) | st.dictionaries(st.text(), anything))
def test_whatever_stands_in_a_spec_there_is_a_spec_or_a_sentence(data: dict[str, object]) -> None:
    spec, problems = shape(Source(data))
    assert problems or spec == Spec.model_validate(data)


def test_a_name_that_is_no_text_is_told_wherever_it_stands() -> None:
    data = {1: "x", None: 2, "task": 3, "then": [{4: {}}]}
    _, problems = shape(Source(data))  # type: ignore[arg-type]
    assert [problem.message.partition(":")[0] for problem in problems] == ["1", "null", "then.0.4", "task"]


def test_what_is_broken_in_one_stage_hides_nothing_of_the_others() -> None:
    stages = [{"train": {"workers": 1}}, "merge", {"federate": {"workers": 0, "at_least": 0}}, {"fnord": 1}]
    spec, problems = shape(Source({**GOOD, "then": stages}))
    assert [problem.keys for problem in problems] == [
        ("then", 1),
        ("then", 2, "federate", "workers"),
        ("then", 2, "federate", "at_least"),
        ("then", 3, "fnord"),
    ]
    assert next(complaint.about[0] for complaint in contradictions(spec)) == ("then", 0)


def test_a_broken_learning_rate_hides_no_option_of_its_optimizer() -> None:
    spec, _ = shape(overridden(Source(GOOD), ["train.optimizer={name: adamw, lr: 0, betas: [0.9, 0.99]}"]))
    assert spec.train is not None
    assert (spec.train.optimizer.name, spec.train.optimizer.options["betas"]) == ("adamw", [0.9, 0.99])


@given(st.dictionaries(st.sampled_from(names(("train",))), anything))
def test_whatever_stands_in_a_section_the_others_are_still_looked_at(train: dict[str, object]) -> None:
    _, problems = shape(Source({"task": 3, "train": train}))
    assert "task: 3 is not text." in [problem.message for problem in problems]


def test_what_is_missing_says_what_to_give() -> None:
    with pytest.raises(SpecInvalid) as invalid:
        check({})
    assert [problem.message for problem in invalid.value.problems] == [
        "task: missing; give text (what to work on: package.module:Class, a trainers.Task).",
        f"says not what to do: give one of {', '.join(VERBS)}, such as train: {{workers: 2}}.",
    ]


def test_the_error_survives_pickling() -> None:
    error = SpecInvalid((Problem("train.yaml:3", ("seed",), "seed: 'x' is not a whole number >= 0."),))
    again = pickle.loads(pickle.dumps(error))
    assert (again.problems, str(again)) == (error.problems, str(error))
    assert str(again) == "train.yaml:3 seed: 'x' is not a whole number >= 0."


def test_equal_specs_have_equal_hashes_however_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "train.yaml"
    file.write_text("train: {optimizer: {lr: 1e-1, name: sgd}, epochs: 1, workers: 4}\ntask: package.module:Class\n")
    written, given_ = shape(read_file(file))[0], Spec.model_validate(GOOD)
    assert written.sha256 == given_.sha256
    assert Spec.model_validate_json(written.canonical_json) == given_
    assert shape(overridden(Source(GOOD), ["seed=1"]))[0].sha256 != given_.sha256
