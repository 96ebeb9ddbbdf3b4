"""The JSON Schema of a spec: for editors, and for our own sentences about what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Keys, dotted
from orchestrator.words import did_you_mean

ANYTHING = "text, a finite number, true, false, null, a list or a mapping"


@cache
def json_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of every spec."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Spec.model_json_schema()


def allowed(keys: Keys) -> str:
    """What may stand at these keys, to follow "is not": "a whole number >= 1"."""
    return " or ".join(_phrase(branch) for branch in _at(keys)) or ANYTHING


def meaning(keys: Keys) -> str:
    """What a value at these keys says, or ""."""
    return next((str(branch["description"]).rstrip(".") for branch in _at(keys) if "description" in branch), "")


def names(keys: Keys) -> tuple[str, ...]:
    """The keys that a mapping at these keys may have; () if they are free."""
    return tuple(name for branch in _at(keys) for name in branch.get("properties", {}))


def options(keys: Keys) -> tuple[str, ...]:
    """The words that may stand at these keys, where only some may."""
    return tuple(word for branch in _at(keys) for word in branch.get("enum", ()))


def nearest(keys: Keys) -> str:
    """ "; did you mean 'workers'?" for an unknown key: a sibling spelt nearly so, or one spelt so elsewhere."""
    name = str(keys[-1])
    elsewhere = (f"; did you mean {dotted(known)!r}?" for known in sorted(_every_key(()), key=len) if known[-1] == name)
    return did_you_mean(name, names(keys[:-1])) or next(elsewhere, "")


def _every_key(keys: Keys) -> Iterator[Keys]:
    for name in names(keys):
        yield (*keys, name)
        yield from _every_key((*keys, name))


def _at(keys: Keys) -> tuple[Mapping[str, Any], ...]:
    """The schemas, references and alternatives resolved, any of which a value at these keys must meet."""
    found = _branches(json_schema())
    for key in keys:
        found = tuple(branch for schema in found for branch in _inside(schema, key))
    return found


def _inside(schema: Mapping[str, Any], key: str | int) -> tuple[Mapping[str, Any], ...]:
    """What may stand at a key of a mapping, or at a number of a list; () if nothing is known of it."""
    if isinstance(key, int):
        inner = schema.get("items")
    else:
        inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
    return _branches(inner) if isinstance(inner, dict) else ()


def _branches(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    around = {key: value for key, value in schema.items() if key == "description"}
    if "$ref" in schema:
        return _branches(json_schema()["$defs"][schema["$ref"].rpartition("/")[2]] | around)
    choices = schema.get("anyOf") or schema.get("oneOf")
    return tuple(around | dict(inner) for choice in choices for inner in _branches(choice)) if choices else (schema,)


def _phrase(schema: Mapping[str, Any]) -> str:
    """One schema in words."""
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if "properties" in schema:
        inside = tuple(schema["properties"])
        if not inside:
            return "an empty mapping"
        return f"a mapping with the key{'s' if len(inside) > 1 else ''} {', '.join(inside)}"
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    limits = " and ".join(f"{sign} {schema[bound]:g}" for bound, sign in bounds.items() if bound in schema)
    words = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "string": "non-empty text" if schema.get("minLength") else "text",
        "null": "null",
        "object": "a mapping of names to values",
        "array": "a list of one or more" if schema.get("minItems") else "a list",
    }
    return f"{words.get(schema.get('type', ''), ANYTHING)} {limits}".rstrip()
