"""Whatever a user calls a metric, MLflow takes it."""

from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from orchestrator.tracking.names import accepted


@given(st.text(max_size=400))
@example("acc@1")
@example("../a")
@example("/")
@example("a/" * 200)
@example("x" * 249 + "//y")
def test_every_name_becomes_one_that_mlflow_accepts(name: str) -> None:
    _validate_metric_name(accepted(name))
    _validate_param_name(accepted(name))


@given(st.text(max_size=400))
def test_an_accepted_name_stays_as_it_is(name: str) -> None:
    assert accepted(accepted(name)) == accepted(name)


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("loss", "test_accuracy", "layers/0.norm", "top-5 error", "a:b", "lambda.client-3", "trial-17"):
        assert accepted(name) == name
