"""A spec's single values: what pydantic finds in them, as sentences for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.spec.common import QuorumName
from orchestrator.spec.models import VERBS, Spec
from orchestrator.spec.problems import Keys, Problem, dotted, shown
from orchestrator.spec.schema import allowed, meaning, names, nearest, options
from orchestrator.spec.source import Source
from orchestrator.words import did_you_mean

STAND_INS: Mapping[Keys, object] = {
    ("task",): "",
    ("serve", "sites"): ["site"],
    ("optimizer", "name"): "sgd",
    ("optimizer", "lr"): 1.0,
    **{(verb, "workers"): 1 for verb in VERBS},
}
"""By the last keys: for required values that are broken, so that the rest can still be looked at."""

EVERY: Mapping[str, str] = {"train": "{epochs: X} or {rounds: N}", "federate": "{rounds: N}"}
"""By verb: what evaluate_every may be."""


def shape(source: Source) -> tuple[Spec, tuple[Problem, ...]]:
    """The spec, with stand-ins and defaults for what is broken, and a problem for each broken value."""
    data = deepcopy(source.data)
    unnamed = tuple(Problem(source.place(keys), keys, message) for keys, message in _without_unnamed(data, ()))
    problems: dict[Keys, Problem] = {}
    while True:
        try:
            return Spec.model_validate(data), (*unnamed, *problems.values())
        except ValidationError as invalid:
            errors = [(_keys(error["loc"], data), error) for error in invalid.errors(include_url=False)]
        if not problems:  # the first pass finds all; later ones only what our mending uncovered
            sentences = (_sentence(keys, error, data) for keys, error in errors)
            problems = {keys: Problem(source.place(keys), keys, message) for keys, message in sentences}
        for keys, error in errors:
            _mend(data, keys[:-1] if error["type"] == "missing" and _stand_in(keys) is None else keys)


def _without_unnamed(data: Any, above: Keys) -> Iterator[tuple[Keys, str]]:
    """Takes out every value whose name is no text, and says so."""
    if isinstance(data, list):
        for number, item in enumerate(data):
            yield from _without_unnamed(item, (*above, number))
    elif isinstance(data, dict):
        for name in [name for name in data if not isinstance(name, str)]:
            keys = (*above, shown(name))
            yield keys, f"{dotted(keys)}: the name {shown(name)} is not text; put it in quotes."
            del data[name]
        for name, value in data.items():
            yield from _without_unnamed(value, (*above, name))


def _keys(loc: Sequence[str | int], data: Any) -> Keys:
    """Where an error stands, without the steps through unions and types that pydantic adds."""
    keys: list[str | int] = []
    for step in loc:
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int)
        if inside:
            keys.append(step)
            data = data[step]
    missing = loc and loc[-1] not in keys[-1:] and isinstance(data, dict) and loc[-1] in names(tuple(keys))
    return (*keys, loc[-1]) if missing else tuple(keys)


def _mend(data: Any, keys: Keys) -> None:
    """Takes out the innermost key of a mapping on the way, or puts its stand-in; a stage is left without a verb."""
    while isinstance(keys[-1], int) and keys[:-1] != ("then",):
        keys = keys[:-1]
    for key in keys[:-1]:
        if isinstance(data, list) and isinstance(key, int):
            data = data[key]
        else:
            data = data.get(key, {}) if isinstance(data, dict) else {}
    if (stand_in := _stand_in(keys)) is not None:
        data[keys[-1]] = deepcopy(stand_in)
    elif isinstance(keys[-1], int):  # a stage, which keeps its number
        data[keys[-1]] = {}
    elif isinstance(data, dict):  # not where a stand-in took its place
        data.pop(keys[-1], None)


def _stand_in(keys: Keys) -> object:
    """What takes the place of a required value, or None."""
    return next((value for last, value in STAND_INS.items() if keys[-len(last) :] == last), None)


def _sentence(keys: Keys, error: ErrorDetails, data: Any) -> tuple[Keys, str]:
    """The keys to complain about, and the sentence, which names them."""
    kind, given = error["type"], shown(error["input"])
    if keys[1:2] == ("quorum",) and _is_about_the_choice(keys, kind):
        return keys[:2], f"{dotted(keys[:2])}: {_not_a_quorum(data[keys[0]]['quorum'])}"
    if keys[1:2] == ("evaluate_every",) and _is_about_the_choice(keys, kind):
        return keys[:2], f"{dotted(keys[:2])}: {shown(data[keys[0]]['evaluate_every'])} is not {EVERY[str(keys[0])]}."
    if kind == "value_error" and isinstance(error["input"], dict) and error["input"]:
        return keys, f"{dotted(keys)}: {given} has {len(error['input'])} names; give exactly one."
    if (
        kind == "extra_forbidden" and error["loc"][-1] not in keys[-1:]
    ):  # a name for one that has its options spelled out
        wrong, known = str(error["loc"][-1]), names(keys)
        return (
            keys,
            f"{dotted(keys)}: {shown(wrong)} is not one of {', '.join(known)}{did_you_mean(wrong, known) or '.'}",
        )
    if kind == "extra_forbidden":
        return keys, f"{dotted(keys)}: no such key{nearest(keys) or '.'} Allowed: {', '.join(names(keys[:-1]))}."
    if kind == "missing":
        return keys, f"{dotted(keys)}: missing; give {allowed(keys)} ({meaning(keys)})."
    if kind == "finite_number":
        return keys, f"{dotted(keys)}: {given} is not finite; allowed is {allowed(keys)}."
    return (
        keys,
        f"{dotted(keys)}: {given} is not {allowed(keys)}{did_you_mean(str(error['input']), options(keys)) or '.'}",
    )


def _is_about_the_choice(keys: Keys, kind: str) -> bool:
    """Whether an error is about which of some one-key mappings it is, not about what that key holds."""
    return len(keys) == 2 or (len(keys) == 3 and kind in ("missing", "extra_forbidden"))


def _not_a_quorum(given: object) -> str:
    """What is wrong with a value of train.quorum."""
    known = get_args(QuorumName)
    name = next(iter(given)) if isinstance(given, dict) and len(given) == 1 else given
    if name == "first":
        return "'first' is for work without rounds; a training round that waits for one result is static: {k: 1}."
    if name == "static":
        return "'static' must know how many to wait for: static: {k: N}."
    if name in known:
        return f"{name!r} has no options; write quorum: {name}."
    near = did_you_mean(str(name), (*known, "static"))
    return f"{shown(name)} is not a quorum{near or '.'} Allowed: full, static: {{k: N}}, dynamic, dbw, adasync, rate."
