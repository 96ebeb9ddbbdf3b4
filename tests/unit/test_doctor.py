"""What the doctor finds wrong."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest

from orchestrator.doctor import Finding, examine


def found(environment: Mapping[str, str]) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(environment)}


def test_a_plain_environment_names_no_cluster_and_no_server() -> None:
    findings = found({})
    assert findings["Ray"] == Finding("Ray", "RAY_ADDRESS is not set: workers start on this machine")
    assert findings["MLflow"].well
    assert findings["packages"].well
    assert "torch" in findings["packages"].found


@pytest.mark.parametrize(
    ("variable", "value", "what", "advice"),
    [
        ("RAY_ADDRESS", "http://127.0.0.1:8265", "Ray", "Runs need the cluster's own address"),
        ("RAY_ADDRESS", "ray://127.0.0.1:10001", "Ray", "Runs need the cluster's own address"),
        ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "Unset it"),
        ("RAY_TMPDIR", "/tmp/" + "x" * 60, "RAY_TMPDIR", "Use a shorter one"),
        ("https_proxy", "http://proxy:3128", "https_proxy", "Set no_proxy=localhost"),
    ],
)
def test_a_known_mistake_gets_advice(variable: str, value: str, what: str, advice: str) -> None:
    finding = found({variable: value})[what]
    assert not finding.well
    assert finding.advice.startswith(advice)


def test_what_does_not_answer_is_said_and_does_not_hang() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        findings = found({"RAY_ADDRESS": address, "MLFLOW_TRACKING_URI": f"http://{address}"})
    assert findings["Ray"].found == f"{address} does not answer (Connection refused)"
    assert findings["MLflow"].advice.startswith("It does not answer.")


@pytest.mark.parametrize(
    ("uri", "shown"), [("http://me:secret@127.0.0.1", "http://127.0.0.1"), ("http://127.0.0.1:x", "http://127.0.0.1:x")]
)
def test_a_server_that_cannot_be_asked_does_not_answer_and_its_password_is_not_shown(uri: str, shown: str) -> None:
    finding = found({"MLFLOW_TRACKING_URI": uri})["MLflow"]
    assert finding.found.startswith(f"{shown}, used where")
    assert finding.advice.startswith("It does not answer.")


def test_a_proxy_that_leaves_this_machine_alone_is_well() -> None:
    assert "https_proxy" not in found({"https_proxy": "http://proxy:3128", "no_proxy": "localhost,127.0.0.1"})
