"""A space as a user declares it, in YAML or Python, and what can be wrong with that.

model.width: {choice: [16, 32, 64]}
optimizer.lr: {log: [0.001, 1.0]}
batch_size: {int: [16, 256], log: true}
optimizer.name:
  choice:
    sgd: {optimizer.momentum: {float: [0, 0.99]}}
    adamw: {optimizer.weight_decay: {log: [1.0e-6, 0.01]}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

from orchestrator.records import Json
from orchestrator.searching.space import Choice, Domain, Float, Int, Option, Parameter, Space
from orchestrator.words import did_you_mean

Keys: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the declaration, from the outside in: ("optimizer.lr", "log")."""

FORMS = "{float: [low, high]}, {log: [low, high]}, {int: [low, high]}, {choice: [a, b, …]}"
KINDS = ("float", "log", "int", "choice")
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


class Fault(NamedTuple):
    """One thing to mend; why goes on after the name of what stands at keys: "is [], so …"."""

    keys: Keys
    why: str


def read_space(declaration: Mapping[str, object]) -> tuple[Space, tuple[Fault, ...]]:
    """The space, without what is broken, and every fault.

    declaration: name -> one of FORMS, or a Float, Int or Choice; an option of a choice may be a key whose value is
    again a declaration, of the parameters that exist only under it. One that is no text is {value: …, then: {…}}.
    """
    faults: list[Fault] = []
    if not declaration:
        faults.append(Fault((), f"is empty, so there is nothing to search. Give it a name with one of {FORMS}."))
    space = Space(_parameters(declaration, (), faults))
    faults.extend(_clashes(space))
    return space, tuple(faults)


def names(space: Space) -> Iterator[tuple[tuple[str, ...], Parameter]]:
    """Every parameter, and where in the declaration it stands: (name, "choice", option, name, …)."""
    yield from _names(space.parameters, ())


def plain(declaration: Mapping[str, object]) -> dict[str, object]:
    """The declaration without objects of Python: as in YAML."""
    return {
        name: _form(given) if isinstance(given, Float | Int | Choice) else given for name, given in declaration.items()
    }


def declared(space: Space) -> dict[str, Json]:
    """The declaration of a space, as JSON; `read_space` makes an equal space of it."""
    return {parameter.name: _form(parameter.domain) for parameter in space.parameters}


def _form(domain: Domain) -> Json:
    if isinstance(domain, Float):
        return {"log" if domain.log else "float": [domain.low, domain.high]}
    if isinstance(domain, Int):
        return {"int": [domain.low, domain.high], **({"log": True} if domain.log else {})}
    options, simple = domain.options, not any(option.then for option in domain.options)
    if simple or not all(isinstance(option.value, str) for option in options):
        return {"choice": [_spelled_out(option) if option.then else option.value for option in options]}
    return {"choice": {str(option.value): declared(Space(option.then)) for option in options}}


def _spelled_out(option: Option) -> Json:
    return {"value": option.value, "then": declared(Space(option.then))}


def _parameters(declaration: Mapping[str, object], above: Keys, faults: list[Fault]) -> tuple[Parameter, ...]:
    parameters = []
    for name, given in declaration.items():
        keys = (*above, name)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            faults.append(Fault(keys, "is no name: names are dotted paths such as model.width or optimizer.lr."))
        elif (domain := _domain(given, keys, faults)) is not None:
            parameters.append(Parameter(name, domain))
    return tuple(parameters)


def _domain(given: object, keys: Keys, faults: list[Fault]) -> Domain | None:
    if isinstance(given, Float | Int | Choice):
        given = _form(given)
    if not isinstance(given, Mapping) or not given:
        faults.append(Fault(keys, f"is {_shown(given)}. Allowed: {FORMS}."))
        return None
    for key in given:
        if key not in KINDS:
            hint = did_you_mean(str(key), KINDS) or "."
            faults.append(Fault((*keys, key), f"is no kind of range{hint} Allowed: {FORMS}."))
            return None
    if "log" in given and len(given) > 1 and not isinstance(given["log"], bool | list | tuple):
        faults.append(Fault((*keys, "log"), f"is {_shown(given['log'])}. Use log: true, or log: [low, high] alone."))
        return None
    kinds = [kind for kind in KINDS if kind in given and not (kind == "log" and isinstance(given[kind], bool))]
    if len(kinds) != 1:
        faults.append(Fault(keys, f"needs exactly one range and has {len(kinds)}. Allowed: {FORMS}."))
        return None
    (kind,) = kinds
    if len(given) > 1 and kind != "int":
        faults.append(Fault((*keys, "log"), "goes with int only; a real number is {log: [low, high]}."))
        return None
    keys = (*keys, kind)
    if kind == "choice":
        return _choice(given[kind], keys, faults)
    return _range(kind, given[kind], given.get("log") is True, keys, faults)


def _range(kind: str, given: object, log: bool, keys: Keys, faults: list[Fault]) -> Float | Int | None:
    ends = list(given) if isinstance(given, list | tuple) else []
    if len(ends) != 2 or not all(_number(end) for end in ends):
        faults.append(Fault(keys, f"is {_shown(given)}, which are not two numbers. Use {kind}: [low, high]."))
        return None
    low, high = ends
    log = log or kind == "log"
    if kind == "int" and not (float(low).is_integer() and float(high).is_integer()):
        why = f"is {_shown(ends)}, which are not whole numbers. Use whole numbers, or float: {_shown(ends)}."
    elif low > high:
        why = f"is {_shown(ends)}, but the low end comes first. Use {kind}: {_shown([high, low])}."
    elif log and low <= 0:
        why = f"is {_shown(ends)}, but a logarithm needs both ends above 0."
        example = [1, high] if kind == "int" else [high / 1000, high]
        why += f" Use for example {_shown(example)}, or leave the logarithm." if high > 0 else " Use float, or int."
    else:
        return Int(int(low), int(high), log) if kind == "int" else Float(float(low), float(high), log)
    faults.append(Fault(keys, why))
    return None


def _choice(given: object, keys: Keys, faults: list[Fault]) -> Choice | None:
    if not isinstance(given, list | tuple | Mapping):
        faults.append(Fault(keys, f"is {_shown(given)}. Use choice: [a, b, …], or options with further parameters."))
        return None
    if not given:
        faults.append(Fault(keys, f"is {_shown(given)}, so there is nothing to choose. Give at least one option."))
        return None
    options = []
    seen: set[str] = set()
    for place, value, further in _options(given):
        if (text := json.dumps(value, sort_keys=True)) in seen:
            faults.append(Fault((*keys, place), f"is {_shown(value)}, which is an option already. Leave it out."))
        seen.add(text)
        if not isinstance(further, Mapping):
            why = f"is {_shown(further)}. Under an option stand names with one of {FORMS}; or nothing: {{}}."
            faults.append(Fault((*keys, place), why))
        else:
            options.append(Option(value, _parameters(further, (*keys, place), faults)))
    return Choice(tuple(options)) if options else None


def _options(given: Sequence[Any] | Mapping[Any, Any]) -> Iterator[tuple[str | int, Any, object]]:
    """Where each stands, its value, and the declaration below it."""
    if isinstance(given, Mapping):
        for name, further in given.items():
            yield name, name, {} if further is None else further
        return
    for number, option in enumerate(given):
        spelled_out = isinstance(option, Mapping) and option.keys() == {"value", "then"}
        yield (number, option["value"], option["then"]) if spelled_out else (number, option, {})


def _clashes(space: Space) -> Iterator[Fault]:
    """Names that would exist at once though they are equal, or one stands within the other."""
    for (keys, one), (other_keys, another) in combinations(names(space), 2):
        name, other = one.name, another.name
        if not (f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}.")):
            continue
        apart = next(number for number, pair in enumerate(zip(keys, other_keys, strict=False)) if pair[0] != pair[1])
        if apart % 3 == 2:
            continue  # under two options of one choice
        if name == other:
            yield Fault(other_keys, f"is declared twice: {name} exists at the same time. Keep one of them.")
        else:
            yield Fault(other_keys, f"cannot be searched together with {name}: one stands within the other.")


def _names(parameters: tuple[Parameter, ...], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Parameter]]:
    for parameter in parameters:
        keys = (*above, parameter.name)
        yield keys, parameter
        if isinstance(parameter.domain, Choice):
            for option in parameter.domain.options:
                yield from _names(option.then, (*keys, "choice", str(option.value)))


def _number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and isfinite(given)


def _shown(given: object) -> str:
    text = json.dumps(given, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}…"
