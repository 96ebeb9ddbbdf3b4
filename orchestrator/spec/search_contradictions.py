"""What of a `search` cannot stand together, its space's own faults first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil

from orchestrator.searching.declaration import names, read_space
from orchestrator.searching.space import Choice, Float, Int, Option, Parameter, Space
from orchestrator.searching.training import ALLOWED, PLAIN, is_name
from orchestrator.spec.autohas_contradictions import autohas_contradictions
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, complaint
from orchestrator.spec.search import PbtOptions, Search
from orchestrator.words import did_you_mean

SPACE: Keys = ("search", "space")

WANTED: Mapping[str, str] = {
    "batch_size": "a whole number above 0",
    "clip_norm": "a number above 0, or null",
    "optimizer.lr": "a number above 0",
    "optimizer.name": "the name of an optimizer of torch.optim",
}
"""What the values of a name have to be; of all others the task or the optimizer will say."""


def search_contradictions(spec: Spec) -> Iterator[Complaint]:
    search = spec.search
    assert search is not None
    space, faults = read_space(search.space)
    yield from (complaint((*SPACE, *fault.keys), fault.why) for fault in faults)
    yield from _names(space)
    yield from _budgets(search)
    if search.method.autohas is not None and not faults:
        yield from autohas_contradictions(search, search.method.autohas)
    if search.start is not None:
        yield from _one_start(search, space)
    if search.method.pbt is not None:
        yield from _population(search, search.method.pbt, space)


def _budgets(search: Search) -> Iterator[Complaint]:
    epochs, name = search.epochs, search.method.name
    options = search.method.options
    budgets: dict[str, float | None] = {
        "first": getattr(options, "first", None),
        "interval": getattr(options, "interval", None),
    }
    for key, value in budgets.items():
        if value is not None and value >= epochs:
            what = "only one rung is left and nobody is ever compared" if key == "first" else "no member has a turn"
            why = f"is {value:g} but search.epochs is {epochs:g}, so {what}. Use less than {epochs:g}."
            yield complaint(("search", "method", name, key), why, ("search", "epochs"))
    eta = getattr(options, "eta", None)
    if eta is not None and search.trials < eta:
        why = f"is {search.trials} but one in {eta:g} goes on, so nobody ever would. Use trials >= {ceil(eta)}."
        yield complaint(("search", "trials"), why, ("search", "method"))
    if search.confirm is None or search.method.autohas is not None:  # which has no trials but those that confirm
        return
    if "confirm" in search.model_fields_set and (top := search.confirm.top) > (trials := search.trials):
        why = f"is {top} but search.trials is {trials}. Use top <= {trials}, or trials >= {top}."
        yield complaint(("search", "confirm", "top"), why, ("search", "trials"))


def _one_start(search: Search, space: Space) -> Iterator[Complaint]:
    """All trials have the model that they start from."""
    if search.method.autohas is not None:
        why = "cannot be given with autohas, whose tries start from fresh weights. Leave it out, or use asha."
        yield complaint(("search", "start"), why, ("search", "method"))
    for place, parameter in names(space):
        if parameter.name.startswith("model."):
            why = "cannot be searched where all trials start from one model (search.start). Leave one of them out."
            yield complaint((*SPACE, *place), why, ("search", "start"))


def _names(space: Space) -> Iterator[Complaint]:
    """Names that lead nowhere, and values that cannot stand there."""
    for place, parameter in names(space):
        keys, name, domain = (*SPACE, *place), parameter.name, parameter.domain
        if not is_name(name):
            near = did_you_mean(name, PLAIN) or "."
            yield complaint(keys, f"is nothing that a trial trains with{near} Allowed: {ALLOWED}.")
        elif (wanted := WANTED.get(name)) is not None:
            values = [option.value for option in domain.options] if isinstance(domain, Choice) else [domain.low]
            wrong = [value for value in values if not _suits(name, value)]
            if wrong:
                yield complaint(keys, f"has {wrong[0]!r} among its values, but it must be {wanted}.")


def _suits(name: str, value: object) -> bool:
    if name == "optimizer.name":
        return isinstance(value, str)
    if name == "clip_norm" and value is None:
        return True
    number = isinstance(value, int) if name == "batch_size" else isinstance(value, int | float)
    return number and not isinstance(value, bool) and float(str(value)) > 0


def _population(search: Search, pbt: PbtOptions, space: Space) -> Iterator[Complaint]:
    """What is taken over must fit whoever takes it over."""
    for place, parameter in names(space):
        keys, why = (*SPACE, *place), ""
        if parameter.name.startswith("model."):
            why = "cannot be searched by pbt, for weights are copied between members, which have one architecture"
        elif parameter.name.startswith("optimizer.") and not _numbers(parameter):
            why = "cannot be searched by pbt, for the optimizer's memory is copied from one member to another"
        if why:
            yield complaint(keys, f"{why}. Leave it out, or use asha.", ("search", "method"))
    if pbt.quantile and int(pbt.quantile * search.trials + 1e-9) == 0:
        fewest = ceil(1 / pbt.quantile)
        why = f"is {search.trials}, of which a quantile of {pbt.quantile:g} is nobody. Use trials >= {fewest}."
        yield complaint(("search", "trials"), why, ("search", "method"))


def _numbers(parameter: Parameter) -> bool:
    domain = parameter.domain
    if isinstance(domain, Float | Int):
        return True
    return all(_is_number(option) for option in domain.options)


def _is_number(option: Option) -> bool:
    return isinstance(option.value, int | float) and not isinstance(option.value, bool) and not option.then
