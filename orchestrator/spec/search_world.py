"""What a `search` names outside itself: arguments of the model, and options of optimizers in all of its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.searching.basis import Category, basis, config_of
from orchestrator.searching.declaration import read_space
from orchestrator.searching.space import Config
from orchestrator.searching.training import Training
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, dotted
from orchestrator.spec.search import Search

SPACE: Keys = ("search", "space")


def training_of(search: Search) -> Training:
    """What all trials share."""
    optimizer = {"name": search.optimizer.name, **search.optimizer.options}
    return Training(optimizer, search.batch_size, search.clip_norm, search.model)


def search_world(spec: Spec) -> Iterator[Complaint]:
    """Tries each value of a choice and each end of a range once. Cost: 0.3 ms each."""
    from trainers.errors import OptimizerInvalid
    from trainers.optimizers import check_optimizer

    search = spec.search
    assert search is not None
    space, faults = read_space(search.space)
    if faults:
        return
    categories = basis(space, 2)
    said: set[str] = set()
    for number, option, config in _each_once(categories):
        settings = training_of(search).of(config)["optimizer"]
        assert isinstance(settings, Mapping)
        try:
            check_optimizer(settings)
        except OptimizerInvalid as error:
            name = categories[number].name
            keys: Keys = (*SPACE, name) if name.startswith("optimizer.") else ("search", "optimizer")
            why = f"{error.name!r}: {error.problem.rstrip('.')}"
            if why not in said:
                value = f" ({name}: {categories[number].options[option]!r})" if keys[0:2] == SPACE else ""
                yield Complaint((keys, ("search", "optimizer")), f"{dotted(keys)}: {why}{value}.")
            said.add(why)


def _each_once(categories: Sequence[Category]) -> Iterator[tuple[int, int, Config]]:
    """A decision, its option, and a configuration that has it: the first options elsewhere."""
    for number, category in enumerate(categories):
        for option in range(len(category.options)):
            picks = [0] * len(categories)
            picks[number] = option
            below = category
            while below.parent is not None:
                picks[below.parent] = below.under
                below = categories[below.parent]
            yield number, option, config_of(categories, picks)
