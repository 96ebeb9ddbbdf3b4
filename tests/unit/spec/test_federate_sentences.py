"""What is wrong with a federation, told before anything starts, all at once and each at its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.utils.data import Dataset, TensorDataset

from orchestrator.local import Local
from orchestrator.spec import SpecInvalid, check
from orchestrator.spec.federate import Aggregation, Federate
from orchestrator.spec.federate_contradictions import federate_contradictions
from orchestrator.spec.federate_world import federate_world
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Problem
from orchestrator.strategies import BufferedFederation, Federation
from orchestrator.strategies.versions import Versions
from orchestrator.verbs import verb_of
from tests.support.digits_task import Digits
from trainers import Context, Split, run_kind
from trainers.aggregation import RULES, make_rule

TASK = "tests.support.digits_task:Digits"
DIRICHLET = {"dirichlet": {"alpha": 0.5}}
ADAM = {"optimizer": {"name": "adam", "lr": 0.01}}
QUORUM = "federate.quorum says how many updates to wait for, but fedbuff has no rounds to wait for. Leave it out."


def problems(state: Path, task: str = TASK, **federate: Any) -> list[Problem]:
    """What is said of ten clients on four workers with these keys."""
    spec = {"task": task, "state": str(state), "federate": {"workers": 4, "clients": 10, **federate}}
    try:
        check(spec)
    except SpecInvalid as invalid:
        return list(invalid.problems)
    return []


SENTENCES: list[tuple[dict[str, Any], str]] = [
    ({"clients": 0}, "federate.clients: 0 is not a whole number >= 1 or one of sites."),
    ({"clients": "site"}, "federate.clients: 'site' is not a whole number >= 1 or one of sites; did you mean 'sites'?"),
    (
        {"clients_per_round": 12},
        "federate.clients_per_round is 12 but there are 10 clients (federate.clients). Use at most 10.",
    ),
    (
        {"over_sample": 1.5},
        "federate.over_sample is 1.5, which asks 15 clients a round, but there are 10. Use at most 1, or fewer "
        "federate.clients_per_round.",
    ),
    (
        {"at_least": 6, "clients_per_round": 5},
        "federate.at_least is 6 but a round needs 5 updates. Use at_least <= 5.",
    ),
    (
        {"proxy": {"split": "train"}},
        "federate.proxy.split is train, so the server would learn from samples that are its clients' own. "
        "Use validation.",
    ),
    (
        {"proxy": {"split": "test"}},
        "federate.proxy.split is test, so the server would learn from samples that the model is judged by. "
        "Use validation.",
    ),
    (
        {"aggregation": "scaffold", "local": ADAM},
        "federate.aggregation is scaffold, whose controls are read off the steps of sgd, but "
        "federate.local.optimizer.name is adam. Use sgd, or another rule.",
    ),
    (
        {"quorum": {"static": {"k": 7}}, "clients_per_round": 5},
        "federate.quorum.static.k is 7 but a round asks 5 clients, so none could ever end. Use k <= 5.",
    ),
    (
        {"quorum": "dbw"},
        "federate.quorum is dbw, a rule for single gradients. Use full, static: {k: N}, rate or dynamic.",
    ),
    (
        {"quorum": "dynamic", "clients_per_round": 4, "local": ADAM},
        "federate.quorum is dynamic, which reads noise off the steps of sgd, but federate.local.optimizer.name is adam."
        " Use rate, or sgd.",
    ),
    (
        {"quorum": "dynamic"},
        "federate.quorum is dynamic, which foresees rounds of one client a worker, but 10 clients are asked of 4 "
        "workers. Use rate, or federate.workers >= 10.",
    ),
    ({"aggregation": {"fedbuff": {"buffer": 3}}, "quorum": "rate"}, QUORUM),
    (
        {"aggregation": {"fedbuff": {"buffer": 3}}, "over_sample": 2.0},
        "federate.over_sample is 2, but fedbuff has no rounds to wait for. Leave it out.",
    ),
    (
        {"aggregation": {"fedbuff": {"buffer": 3}}, "deadline_s": 2.0},
        "federate.deadline_s is 2, but fedbuff has no rounds to wait for. Leave it out.",
    ),
    (
        {"aggregation": {"fedbuff": {"buffer": 11}}},
        "federate.aggregation.fedbuff.buffer is 11 but there are 10 clients, and each is in it once at most. "
        "Use at most 10.",
    ),
    (
        {"clients": 121, "partition": DIRICHLET},
        "federate.clients is 121, with 10 samples each at least, which needs 1,210 training samples, and there are "
        "1,200. Use at most 120, or a smaller minimum.",
    ),
    (
        {"proxy": {"samples": 201}},
        "federate.proxy.samples is 201 but the validation split has 200. Use at most 200.",
    ),
    ({"aggregation": "fedprox"}, "federate.aggregation: 'fedprox' is not one of fedavg, fedlaw, fine_tuning, scaffold"),
    ({"partition": {"dirichlet": {"alpha": 0}}}, "federate.partition.dirichlet.alpha: 0 is not a number > 0."),
    (
        {"local": {"optimizer": {"name": "sdg", "lr": 0.1}}},
        "federate.local.optimizer.name: 'sdg': torch.optim has no such optimizer; did you mean 'sgd'?",
    ),
]


@pytest.mark.parametrize(("federate", "sentence"), SENTENCES, ids=lambda value: str(value)[:60])
def test_it_says(tmp_path: Path, federate: dict[str, Any], sentence: str) -> None:
    said = [problem.message for problem in problems(tmp_path, **federate)]
    assert any(message.startswith(sentence) for message in said), said
    assert len(said) == 1


GOOD: list[dict[str, Any]] = [
    {},
    {"aggregation": "fedavg", "partition": "iid"},
    {"aggregation": {"fedlaw": {"learn": "lambda", "epochs": 0}}, "partition": DIRICHLET},
    {"aggregation": "scaffold", "clients_per_round": 3, "over_sample": 1.5},
    {"aggregation": {"fedbuff": {"buffer": 5, "max_staleness": 3}}},
    {"quorum": "dynamic", "clients_per_round": 4},
    {"quorum": {"static": {"k": 7}}},
    {"quorum": "rate", "deadline_s": 10.0, "at_least": 5},
    {"proxy": {"split": "test"}, "aggregation": "fedavg"},  # which looks at none
    {"evaluate_every": {"rounds": 5}, "local": {"epochs": 3, "decay": 0.9}},
]


@pytest.mark.parametrize("federate", GOOD, ids=str)
def test_a_good_federation_is_taken(tmp_path: Path, federate: dict[str, Any]) -> None:
    assert problems(tmp_path, **federate) == []


def test_sites_have_data_of_their_own(tmp_path: Path) -> None:
    spec = Spec.model_validate({"task": TASK, "federate": {"workers": 3, "clients": "sites", "partition": DIRICHLET}})
    (found,) = federate_contradictions(spec)
    assert found.message == (
        "federate.partition divides the training data of this machine, but with clients: sites each has its own. "
        "Leave it out."
    )


def test_a_model_that_is_not_there_cannot_be_started_from(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, start="/none.safetensors")
    assert problem.message.startswith("federate.start '/none.safetensors' is not there; a model is named by run:RUN")


def test_a_model_of_other_arguments_cannot_be_started_from(tmp_path: Path) -> None:
    local = Local(Spec.model_validate({"task": TASK, "federate": {"workers": 1}}))
    file = tmp_path / "wide.safetensors"
    local.save_model(Context(Digits(), 0).new_model({"width": 64}).weights(), {"width": 64}, file)
    (problem,) = problems(tmp_path, start=str(file))
    assert problem.message == (
        "federate.start is a model with the arguments {'width': 64}, but federate.model is {}. Give the same."
    )
    assert problems(tmp_path, start=str(file), model={"width": 64}) == []


def test_a_model_that_does_not_fit_or_is_not_finite_cannot_be_started_from(tmp_path: Path) -> None:
    model = Digits().model()
    save_file(dict(model.state_dict()), file := tmp_path / "foreign.safetensors")
    assert problems(tmp_path, start=str(file)) == []
    (problem,) = problems(tmp_path, start=str(file), model={"width": 7})
    assert problem.message.startswith("federate.start does not fit Digits.model(width=7): ")
    assert problem.message.endswith(". Give federate.model the arguments it was made with.")
    next(model.parameters()).data[0, 0] = float("nan")
    save_file(dict(model.state_dict()), file)
    (problem,) = problems(tmp_path, start=str(file))
    assert problem.message.startswith("federate.start has NaN or Inf in 1 of the ")


@given(st.integers(1, 500), st.integers(1, 500), st.floats(1, 3))
def test_more_are_asked_than_needed_in_the_proportion_of_over_sampling(clients: int, some: int, over: float) -> None:
    per_round = min(clients, some)
    federate = Federate(workers=2, clients=clients, clients_per_round=per_round, over_sample=over)
    assert federate.needed == per_round
    assert per_round <= federate.asked < per_round * over + 1


class Measured(Digits):
    """Its targets are numbers, not classes."""

    def data(self, split: Split) -> Dataset[Any]:
        inputs, targets = super().data(split).tensors  # type: ignore[attr-defined]
        return TensorDataset(inputs, targets.float())


class ServerOnly(Digits):
    """What a server of real sites may have."""

    def data(self, split: Split) -> Dataset[Any]:
        if split is Split.TRAIN:
            raise FileNotFoundError("train-images")
        return super().data(split)


def test_what_needs_classes_is_refused_where_there_are_none(tmp_path: Path) -> None:
    task = f"{__name__}:Measured"
    told = [problem.message for problem in problems(tmp_path, task, partition=DIRICHLET)]
    assert told == [
        "federate.partition needs classes, but its last tensor is torch.float32 of shape [1200] for 1,200 samples. "
        "Use iid.",
        "federate.aggregation needs classes, but its last tensor is torch.float32 of shape [200] for 200 samples. "
        "Use fedavg.",
    ]
    assert problems(tmp_path, task, partition="iid", aggregation="fedavg") == []


def test_a_server_of_sites_needs_no_training_split() -> None:
    spec = Spec.model_validate({"task": f"{__name__}:ServerOnly", "federate": {"workers": 3, "clients": "sites"}})
    assert list(federate_world(spec)) == []
    context = Context(ServerOnly(), seed=0)
    (first,) = Versions().questions(verb_of(spec).strategy(spec).settings)  # type: ignore[attr-defined]
    outputs, metrics = run_kind(first.kind, {}, {"model": {}, **first.params}, context)
    assert outputs.keys() == {"weights"}
    assert metrics["test_samples"] == 397


def test_every_rule_of_aggregation_can_be_asked_for_and_knows_its_options() -> None:
    assert sorted(Aggregation.model_fields) == sorted(RULES)
    for name in RULES:
        spec = Spec.model_validate({"task": TASK, "federate": {"workers": 4, "aggregation": name}})
        strategy = verb_of(spec).strategy(spec)
        assert isinstance(strategy, Federation | BufferedFederation)
        rule = make_rule(strategy.settings.rule)
        assert type(rule) is RULES[name]
        assert strategy.settings.control == rule.has_control
        assert Aggregation.model_validate(name).uses_proxy == rule.uses_proxy
        assert rule == RULES[name]()  # the same defaults
