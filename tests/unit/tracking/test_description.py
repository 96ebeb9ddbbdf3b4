"""What MLflow is told of a run once."""

from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_param, _validate_tag

from orchestrator.records import Json
from orchestrator.tracking.description import parameters, started_ms, tags
from tests.support.tracking import STARTED_MS, started

specs = st.dictionaries(
    st.text(max_size=300),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=300), inner, max_size=3),
        max_leaves=10,
    ),
    max_size=5,
)


@given(specs)
def test_every_spec_becomes_parameters_that_mlflow_accepts(spec: Json) -> None:
    for name, value in parameters(spec).items():
        _validate_param(name, value)


def test_parameters_have_dotted_paths_and_lists_are_json() -> None:
    spec: Json = {
        "seed": 0,
        "train": {"quorum": {"static": {"k": 3}}, "clip_norm": None, "betas": [0.9, 0.99], "model": {}},
    }
    assert parameters(spec) == {
        "seed": "0",
        "train.quorum.static.k": "3",
        "train.clip_norm": "null",
        "train.betas": "[0.9, 0.99]",
        "train.model": "{}",
    }


def test_a_long_value_is_cut() -> None:
    assert len(parameters({"text": "x" * 10_000})["text"]) == 5000


def test_tags_tell_commit_and_dirt_and_environment() -> None:
    about = tags(started())
    for name, value in about.items():
        _validate_tag(name, value)
    assert about["ripieno.run"] == "r-1"
    assert about["ripieno.seed"] == "7"
    assert about["mlflow.source.git.commit"] == "0123456789abcdef0123456789abcdef01234567"
    assert about["ripieno.dirty"] == "true"
    assert about["ripieno.environment.torch"] == "2.13"


def test_time_zero_is_when_the_run_started() -> None:
    assert started_ms(started()) == STARTED_MS
