"""What the README and the manual say is so: specs pass the gate, commands and files exist, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from typer.main import get_command

from orchestrator.cli import app
from orchestrator.quorum import QUORUMS
from orchestrator.spec import check, json_schema
from orchestrator.spec.federate import Aggregation
from orchestrator.spec.search import Method

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "pages").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *EXAMPLES, *PAGES]
EXAMPLE = ROOT / "examples" / "fashion_mnist" / "train.yaml"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OUR_FOLDERS = "benchmarks|cluster|docs|examples|orchestrator|protos|tests|trainers"


class Block(NamedTuple):
    page: Path
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(page, language, text) for language, text in FENCE.findall(page.read_text(encoding="utf-8"))]


def specs() -> Iterator[tuple[str, str, str]]:
    """Page, spec, and the Python block before it on that page."""
    for page in TEXTS:
        python = ""
        for number, block in enumerate(blocks(page)):
            if block.language == "python":
                python = block.text
            elif block.language == "yaml":
                yield f"{page.name} block {number}", block.text, python


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a user's task.py lies, imported from as by the command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT))
    sys.modules.pop("task", None)
    yield tmp_path
    sys.modules.pop("task", None)


@pytest.mark.parametrize(("spec", "python"), [pytest.param(spec, python, id=where) for where, spec, python in specs()])
def test_a_spec_that_is_shown_can_be_started(user_folder: Path, spec: str, python: str) -> None:
    (user_folder / "train.yaml").write_text(spec)
    (user_folder / "task.py").write_text(python)
    check(user_folder / "train.yaml")


def test_the_readme_shows_the_example_as_it_is() -> None:
    shown = [block.text for block in blocks(ROOT / "README.md") if block.language == "yaml"]
    assert EXAMPLE.read_text(encoding="utf-8") in shown
    assert yaml.safe_load(shown[0])["task"] == "task:Digits"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_command_that_is_named_exists(page: Path) -> None:
    commands = get_command(app)
    for line in re.findall(r"(?:^|`|\s|/|-- )ripieno ([a-z][a-z ]*)", _code(page)):
        known = commands
        for word in line.split():
            if not hasattr(known, "commands"):
                break
            assert word in known.commands, f"{page.name}: there is no `ripieno {line}`"
            known = known.commands[word]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", _code(page), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_file_that_is_named_or_linked_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = (link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link)
    missing = [link for link in links if not (page.parent / link).exists()]
    named = re.findall(rf"`((?:{OUR_FOLDERS})/[\w./{{}}]*)`", text)
    assert missing + [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_key_that_is_set_or_named_is_one_of_the_spec(page: Path) -> None:
    named = re.findall(r"--set ([a-z_.]+)=|`((?:train|resources|tracking|times|inject)\.[a-z_.]+)`", _code(page))
    keys = {key for pair in named for key in pair if key} - {"tracking.log", "train.yaml"}
    assert [key for key in keys if not _in_spec(key.split("."))] == []


def test_the_manual_has_a_section_for_every_quorum() -> None:
    sections = re.findall(r"^## `(\w+)`$", (ROOT / "docs/pages/quorums.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(sections) == sorted(QUORUMS)


def test_the_manual_has_a_section_for_every_method_of_search() -> None:
    sections = re.findall(r"^## `(\w+)`$", (ROOT / "docs/pages/search.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(sections) >= set(Method.model_fields)


def test_the_manual_has_a_section_for_every_aggregation() -> None:
    sections = re.findall(r"^### (\w+)$", (ROOT / "docs/pages/federate.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(sections) == sorted(Aggregation.model_fields)


def test_the_spec_reference_is_current() -> None:
    place = importlib.util.spec_from_file_location("spec_reference", ROOT / "docs" / "spec_reference.py")
    assert place is not None
    assert place.loader is not None
    reference = importlib.util.module_from_spec(place)
    place.loader.exec_module(reference)
    assert reference.main(["--check"]) == 0


def test_every_page_is_in_the_manuals_list() -> None:
    listed = [name for entry in _manual()["nav"] for name in entry.values()]
    assert sorted(listed) == [page.name for page in PAGES]


def test_the_manuals_tables_have_as_many_cells_as_their_heads() -> None:
    wrong = []
    for page in TEXTS:
        for above, row in pairwise(page.read_text(encoding="utf-8").splitlines()):
            if above.startswith("|") and row.startswith("|") and _cells(above) != _cells(row):
                wrong.append(f"{page.name}: {row}")
    assert wrong == []


def _code(page: Path) -> str:
    """The fenced blocks and the inline code, one a line."""
    text = page.read_text(encoding="utf-8")
    return "\n".join([*(block.text for block in blocks(page)), *(f"`{c}`" for c in re.findall(r"`([^`\n]+)`", text))])


def _cells(row: str) -> int:
    return len(re.sub(r"`[^`]*`", "", row).split("|"))


def _in_spec(keys: list[str]) -> bool:
    """Whether a mapping of the schema, references and alternatives resolved, has these keys below one another."""
    found = [json_schema()]
    for key in keys:
        found = [inner for schema in found for inner in _resolved(schema.get("properties", {}).get(key))]
    return bool(found)


def _resolved(schema: Any) -> list[dict[str, Any]]:
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        return _resolved(json_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    choices = schema.get("anyOf") or schema.get("oneOf")
    return [inner for choice in choices for inner in _resolved(choice)] if choices else [schema]


def _manual() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = yaml.safe_load((ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8"))
    return found
