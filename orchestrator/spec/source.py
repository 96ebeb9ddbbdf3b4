"""A spec as it was written: plain data, and the line of each value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from orchestrator.spec.problems import Keys, Problem, SpecInvalid, dotted, shown
from orchestrator.words import did_you_mean

MOST_VALUES = 10_000
"""More than this is a mistake, or aliases made to explode."""

SHORTEST = "`task: package.module:Class` and `train: {workers: 2}`"


@dataclass(frozen=True, slots=True)
class Source:
    """The data of a spec, unchecked. problems: of the writing itself, such as a key given twice.

    places: where values stand ("train.yaml:7"); a value without an entry stands where the nearest one around it does.
    """

    data: dict[str, Any]
    places: Mapping[Keys, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def place(self, keys: Keys) -> str:
        """Where a value stands, or where it is missing from."""
        return next((self.places[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in self.places), "")

    def order(self, keys: Keys) -> int:
        """Sorts by the order of writing; overrides come last."""
        found = next((keys[:n] for n in range(len(keys), -1, -1) if keys[:n] in self.places), ())
        return list(self.places).index(found) if self.places else 0


def read_file(file: Path) -> Source:
    """A spec in a YAML or JSON file.

    Raises:
        SpecInvalid: it cannot be read at all.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        nearby = [found.name for found in file.absolute().parent.glob("*.y*ml")]
        raise _unreadable(f"{file}:", f"no such file{did_you_mean(file.name, nearby) or '.'}") from None
    except UnicodeDecodeError as error:
        raise _unreadable(f"{file}:", f"not text in UTF-8 (byte {error.start}).") from None
    except (OSError, ValueError) as error:
        raise _unreadable(f"{file}:", f"cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    parsed = _parse(text, lambda line: f"{file}:{line}")
    if not isinstance(parsed.data, dict):
        given = "empty" if parsed.data is None else f"{shown(parsed.data)}, not a mapping"
        raise _unreadable(f"{file}:1", f"is {given}. The shortest spec is {SHORTEST}.")
    return Source(parsed.data, parsed.places, tuple(parsed.problems))


def overridden(source: Source, overrides: Sequence[str]) -> Source:
    """The source with each `--set a.b=value` applied in order; the values are YAML. What is in the way is replaced."""
    data, places, problems = dict(source.data), dict(source.places), list(source.problems)
    for override in overrides:
        place = f"--set {override}"
        name, equals, text = override.partition("=")
        keys = tuple(name.strip().split("."))
        if not equals or not all(keys):
            problems.append(Problem(place, (), "is not of the form key.key=value, such as train.workers=8."))
            continue
        try:
            parsed = _parse(text, partial(_always, place), keys)
        except SpecInvalid as invalid:
            problems.extend(invalid.problems)
            continue
        problems.extend(parsed.problems)
        _put(data, keys, parsed.data)
        places = {known: line for known, line in places.items() if known[: len(keys)] != keys}
        for n in range(1, len(keys) + 1):
            places.setdefault(keys[:n], place)
    return Source(data, places, tuple(problems))


def _always(place: str, line: int) -> str:
    return place


def _put(data: dict[str, Any], keys: Sequence[str], value: object) -> None:
    """Sets a value inside nested mappings, and lists by number, copying each on the way."""
    inside: Any = data
    for key, following in pairwise(keys):
        where: Any = int(key) if isinstance(inside, list) else key
        inner = inside[where] if isinstance(inside, list) else inside.get(where)
        if isinstance(inner, list) and following.isdecimal() and int(following) < len(inner):
            inside[where] = list(inner)
        else:
            inside[where] = dict(inner) if isinstance(inner, dict) else {}
        inside = inside[where]
    inside[int(keys[-1]) if isinstance(inside, list) else keys[-1]] = value


class _Loader(yaml.SafeLoader):
    """Safe YAML with the plain values of YAML 1.2: 1e-3 is a number, `no` and 2025-01-01 are text, 010 is not 8."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - declared so by PyYAML


_NUMBER = r"[-+]?(?:[0-9][0-9_]*\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
for _tag, _pattern, _first in [
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", rf"{_NUMBER}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
]:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass(frozen=True, slots=True)
class _Parsed:
    data: Any
    places: dict[Keys, str]
    problems: list[Problem]


def _parse(text: str, where: Callable[[int], str], outer: Keys = ()) -> _Parsed:
    """Data, places and keys given twice. where: names a line, from 1. outer: where in the spec the text belongs.

    Raises:
        SpecInvalid: it is not YAML.
    """
    parsed = _Parsed(None, {}, [])
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return parsed
        parsed.places[outer] = where(root.start_mark.line + 1)
        if _visit(root, outer, where, parsed, {}) > MOST_VALUES:
            raise _unreadable(where(1), f"holds more than {MOST_VALUES:,} values, aliases spelled out.")
        return replace(parsed, data=loader.construct_document(root))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _unreadable(where(line), f"is not YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(where(1), f"is not YAML: {getattr(error, 'reason', error)}.") from None
    except RecursionError:
        raise _unreadable(where(1), "is nested too deeply.") from None


def _visit(node: yaml.Node, keys: Keys, where: Callable[[int], str], parsed: _Parsed, sizes: dict[int, float]) -> float:
    """Notes the line of each key; a node met again through an alias keeps its first. Returns how many values it holds,
    aliases spelled out: infinitely many if it holds itself."""
    if id(node) in sizes:
        return sizes[id(node)]
    sizes[id(node)] = math.inf
    size = 1.0
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            parsed.places[*keys, number] = where(item.start_mark.line + 1)
            size += _visit(item, (*keys, number), where, parsed, sizes)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner: Keys = (*keys, str(key.value))
            line = where(key.start_mark.line + 1)
            if inner in parsed.places and key.value != "<<":
                message = f"{dotted(inner)}: given twice, before at {parsed.places[inner]}; keep one."
                parsed.problems.append(Problem(line, inner, message))
            parsed.places[inner] = line
            size += _visit(value, inner, where, parsed, sizes)
    sizes[id(node)] = size
    return size


def _unreadable(place: str, message: str) -> SpecInvalid:
    return SpecInvalid((Problem(place, (), message),))
