"""Writes pages/spec.md from the JSON Schema of a spec; with --check only says whether it is current, by exit code 1."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.spec import json_schema

PAGE = Path(__file__).parent / "pages" / "spec.md"
HEAD = """# Spec reference

A spec is one YAML or JSON file. Unknown keys, wrong types and contradictions are refused before anything starts, all
at once, each with its line. `ripieno schema` prints the JSON Schema for an editor's completion, and
`ripieno run SPEC --check` says what a run would do. On the command line `--set train.workers=8` changes a key.

This page is made from that schema by `docs/spec_reference.py`.

| key | values | default | meaning |
|---|---|---|---|
"""
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true, false",
    "string": "text",
    "array": "list",
    "null": "null",
}


def page(schema: Mapping[str, Any]) -> str:
    """The whole page."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(schema, schema, ""))


def _rows(schema: Mapping[str, Any], given: Mapping[str, Any], path: str) -> Iterator[tuple[str, ...]]:
    """One row a key, a mapping's own keys after it. schema: the whole; given: the mapping whose keys are wanted."""
    for name, value in given.get("properties", {}).items():
        branches = list(_branches(schema, value))
        default = "required" if name in given.get("required", ()) else f"`{json.dumps(value.get('default'))}`"
        inner = [branch for branch in branches if "properties" in branch]
        said = [branch for branch in branches if branch.get("type") != "null"]
        if len(inner) == len(said) == 1 and not inner[0].get("additionalProperties"):
            yield f"`{path}{name}`", "mapping", "", value.get("description", "")
        else:
            yield (
                f"`{path}{name}`",
                " or ".join(_words(schema, branch) for branch in branches),
                default,
                value.get("description", ""),
            )
        if len(inner) == 1:
            yield from _rows(schema, inner[0], f"{path}{name}.")


def _branches(schema: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The alternatives that a value may be, references resolved."""
    if "$ref" in value:
        yield from _branches(schema, schema["$defs"][value["$ref"].rpartition("/")[2]])
    elif choices := value.get("anyOf") or value.get("oneOf"):
        for choice in choices:
            yield from _branches(schema, choice)
    else:
        yield value


def _words(schema: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if "properties" in value:
        return f"`{_braces(schema, value)}`"
    limits = " and ".join(f"{sign} {_number(value[bound])}" for bound, sign in SIGNS.items() if bound in value)
    return f"{TYPES.get(value.get('type', ''), 'mapping')} {limits}".strip()


def _braces(schema: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """A mapping as YAML in one line: {static: {k: …}}."""
    inside = [
        f"{name}: {next((_braces(schema, inner) for inner in _branches(schema, given) if 'properties' in inner), '…')}"
        for name, given in value["properties"].items()
    ]
    return f"{{{', '.join([*inside, '…'] if value.get('additionalProperties') else inside)}}}"


def _number(bound: float) -> str:
    return "2⁶³" if bound == 2**63 else f"{bound:g}"


def main(arguments: list[str]) -> int:
    text = page(json_schema())
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print(f"{PAGE} is not what the spec's models say; run: make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
