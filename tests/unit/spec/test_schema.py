"""The JSON Schema that editors use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from orchestrator.spec import Spec, json_schema

EXAMPLE = Path(__file__).parents[3] / "examples" / "fashion_mnist" / "train.yaml"


def test_it_is_a_schema_and_the_example_fits_it() -> None:
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator(json_schema()).validate(yaml.safe_load(EXAMPLE.read_text()))


def test_it_refuses_what_we_refuse() -> None:
    good = yaml.safe_load(EXAMPLE.read_text())
    for bad in (good | {"sed": 0}, good | {"seed": -1}, {**good, "train": good["train"] | {"quorum": "first"}}):
        assert list(Draft202012Validator(json_schema()).iter_errors(bad))


def test_every_key_says_what_it_means() -> None:
    def undescribed(schema: Any) -> list[str]:
        properties = schema.get("properties", {})
        return [name for name, inner in properties.items() if "description" not in inner and "$ref" not in inner]

    assert [name for schema in (json_schema(), *json_schema()["$defs"].values()) for name in undescribed(schema)] == []


def test_the_example_reads_as_it_says() -> None:
    spec: Spec = Spec.model_validate(yaml.safe_load(EXAMPLE.read_text()))
    assert (spec.train.quorum, spec.train.optimizer.options) == ("dynamic", {"lr": 0.05, "momentum": 0.9})
    assert spec.inject.slow is not None


def test_the_quorums_of_a_spec_are_those_that_there_are() -> None:
    from orchestrator.quorum import QUORUMS

    allowed = json_schema()["$defs"]
    by_name = json_schema()["$defs"]["Train"]["properties"]["quorum"]["oneOf"]
    names = {name for choice in by_name for name in choice.get("enum", ())}
    assert names | {"static", "first"} == set(QUORUMS)
    assert "StaticQuorum" in allowed


def test_a_default_tracking_uri_lies_beside_the_state_folder(tmp_path: Path) -> None:
    spec = Spec.model_validate({"task": "a:b", "train": {"workers": 1}})
    assert spec.tracking_uri(tmp_path / "runs") == f"sqlite:///{tmp_path}/mlflow.db"
    assert (
        spec.model_copy(update={"tracking": spec.tracking.model_copy(update={"uri": "http://h"})}).tracking_uri(
            tmp_path
        )
        == "http://h"
    )


@pytest.mark.parametrize("name", ["train", "resources", "tracking", "times", "inject"])
def test_models_are_frozen(name: str) -> None:
    spec = Spec.model_validate({"task": "a:b", "train": {"workers": 1}})
    with pytest.raises(ValueError, match="frozen"):
        setattr(spec, name, None)
