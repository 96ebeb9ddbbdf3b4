"""A URI as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.uris import below, printable, printable_spec

PARTS = st.text("ab%:.", min_size=1)


@pytest.mark.parametrize(
    ("uri", "there"),
    [
        ("s3://b/runs", "s3://b/runs/r-1/values"),
        ("s3://b/runs?endpoint_override=minio:9000", "s3://b/runs/r-1/values?endpoint_override=minio:9000"),
        ("/data/why?/runs", "/data/why?/runs/r-1/values"),
        ("runs", "runs/r-1/values"),
    ],
)
def test_what_lies_below_a_uri_is_said_before_its_options(uri: str, there: str) -> None:
    assert below(uri, "r-1", "values") == there


@given(PARTS, PARTS, st.sampled_from(["", "/", "/a/b@c", "?x=y"]))
def test_what_is_shown_of_a_uri_has_no_secret(user: str, password: str, rest: str) -> None:
    assert printable(f"s3://{user}:{password}@host{rest}") == f"s3://host{rest}"
    assert printable(f"s3://{user}@host{rest}") == f"s3://host{rest}"


def test_a_password_may_have_the_sign_that_ends_it() -> None:
    assert printable("postgresql://me:p@ss@db/mlflow") == "postgresql://db/mlflow"


@pytest.mark.parametrize("uri", ["", "runs/a@b", "sqlite:////data/a@b.db", "http://127.0.0.1:5000/@team", "s3://b/a@b"])
def test_a_uri_without_a_secret_is_shown_whole(uri: str) -> None:
    assert printable(uri) == uri


def test_a_spec_is_shown_without_the_secrets_of_its_uris() -> None:
    spec = {
        "storage": "s3://key:secret@b",
        "tracking": {"uri": "http://me:pw@h"},
        "then": [{"from": "s3://k@b"}],
        "seed": 1,
    }
    shown = {"storage": "s3://b", "tracking": {"uri": "http://h"}, "then": [{"from": "s3://b"}], "seed": 1}
    assert printable_spec(spec) == shown
