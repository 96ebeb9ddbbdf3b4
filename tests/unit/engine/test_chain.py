"""Verbs one after another: each stage starts from what the one before it left, and the whole can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from orchestrator.chain import resume_chain, run_chain, runs_of, stage_names
from orchestrator.errors import RunExists
from orchestrator.lifecycle import resume, start
from orchestrator.outcome import Outcome
from orchestrator.outcome_file import load_outcome
from orchestrator.spec import Spec, SpecInvalid, check
from orchestrator.verify import replay
from tests.support.runs import StopAfter, inline
from tests.unit.cli.test_commands import ripieno

SEARCH = {
    "workers": 2,
    "space": {"optimizer.lr": {"log": [0.05, 0.5]}},
    "trials": 3,
    "epochs": 1,
    "batch_size": 50,
    "confirm": None,
}
MERGE = {"workers": 2, "method": "uniform"}
FEDERATE = {"workers": 2, "clients": 3, "rounds": 2}


def chain_spec(state: Path, **changes: Any) -> Spec:
    return Spec.model_validate(
        {
            "task": "tests.support.digits_task:Digits",
            "search": SEARCH,
            "then": [{"merge": MERGE}, {"federate": FEDERATE}],
            "state": str(state),
            "tracking": {"enabled": False},
            **changes,
        }
    )


class Stages(StopAfter):
    """Does the stages of a chain, and goes on with those that have begun, until it is to stop."""

    def do(self, spec: Spec, run: str, parent: str) -> Outcome:
        folder = Path(spec.state) / run
        if folder.exists():
            return resume(folder, open_pool=inline, observers=[self], stop=self)
        return start(spec, open_pool=inline, name=run, parent=parent, observers=[self], stop=self)


def test_each_stage_starts_from_what_the_one_before_it_left(tmp_path: Path) -> None:
    whole = run_chain(chain_spec(tmp_path), do=Stages(10**9).do, name="c")
    assert (whole.outcome, whole.done) == ("done", 3.0)
    search, merge, federate = (load_outcome(tmp_path / name) for name in stage_names(chain_spec(tmp_path), "c"))
    assert search is not None
    assert merge is not None
    assert federate is not None
    assert merge.model_file is not None
    started_from = next((tmp_path / federate.run / "kept").glob("given.start.*"))
    merged, given = load_file(merge.model_file), load_file(started_from)
    assert merged.keys() == given.keys()
    assert all(bool((merged[name] == given[name]).all()) for name in merged)
    assert whole.weights_sha256 == federate.weights_sha256 != ""
    assert whole.metrics == federate.metrics


@pytest.mark.parametrize("wakes", [3, 12, 20])
def test_a_chain_that_was_stopped_goes_on_and_every_stage_equals_its_replay(tmp_path: Path, wakes: int) -> None:
    stopped = run_chain(chain_spec(tmp_path), do=Stages(wakes).do, name="c")
    assert stopped.outcome == "interrupted"
    done = resume_chain(tmp_path / "c", do=Stages(10**9).do)
    assert (done.outcome, done.done) == ("done", 3.0)
    assert len(runs_of(tmp_path / "c")) == 3
    code, shown, _ = ripieno("show", "c", "--why", "--state", str(tmp_path))
    assert code == 0
    assert [line for line in shown.splitlines() if line.startswith("c.")] == [
        folder.name for folder in runs_of(tmp_path / "c")
    ]
    assert all(replay(folder).same for folder in runs_of(tmp_path / "c"))
    assert resume_chain(tmp_path / "c", do=Stages(0).do) == done


def test_a_search_after_training_starts_every_trial_from_the_trained_model(tmp_path: Path) -> None:
    train = {"workers": 2, "batch_size": 50, "epochs": 6, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}
    search = {**SEARCH, "space": {"optimizer.lr": {"log": [1e-9, 1e-8]}}, "epochs": 0.1, "confirm": {"top": 1}}
    spec = chain_spec(tmp_path, search=None, train=train, then=[{"search": search}, {"merge": MERGE}])
    whole = run_chain(spec, do=Stages(10**9).do, name="c")
    trained, searched, merged = (load_outcome(tmp_path / name) for name in stage_names(spec, "c"))
    assert whole.outcome == "done"
    for outcome in (trained, searched, merged):  # steps that small change nothing that shows
        assert outcome is not None
        assert outcome.metrics["test_accuracy"] == whole.metrics["test_accuracy"] > 0.8
    assert all(replay(folder).same for folder in runs_of(tmp_path / "c"))


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    spec = chain_spec(tmp_path, then=[{"merge": MERGE}])
    run_chain(spec, do=Stages(10**9).do, name="c")
    with pytest.raises(RunExists):
        run_chain(spec, do=Stages(10**9).do, name="c")


@pytest.mark.parametrize(
    ("then", "sentence"),
    [
        (
            [{"merge": MERGE, "federate": FEDERATE}],
            "then.0 has federate and merge; what can go on from what came before is one of federate, merge, search.",
        ),
        ([{}], "then.0 has no verb; what can go on from what came before is one of federate, merge, search."),
        (
            [{"train": {"workers": 1}}],
            "then.0 has train; what can go on from what came before is one of federate, merge, search.",
        ),
        (
            [{"federate": {**FEDERATE, "clients_per_round": 4}}],
            "then.0.federate.clients_per_round is 4 but there are 3 clients (federate.clients). Use at most 3.",
        ),
    ],
)
def test_all_stages_are_looked_at_before_the_first_one_starts(
    tmp_path: Path, then: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(SpecInvalid) as invalid:
        check(chain_spec(tmp_path, then=then))
    assert [problem.message for problem in invalid.value.problems] == [sentence]
