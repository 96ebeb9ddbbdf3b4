"""A URI as text."""

from __future__ import annotations

import pytest

from orchestrator.uris import below


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
