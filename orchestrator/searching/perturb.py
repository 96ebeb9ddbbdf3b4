"""A configuration near another one, as population-based training explores."""

from __future__ import annotations

from random import Random

from orchestrator.records import Json
from orchestrator.searching.space import Choice, Config, Domain, Float, Int, Space

FACTORS = (0.8, 1.2)


def perturbed(space: Space, config: Config, resample: float, random: Random) -> Config:
    """Each parameter drawn anew with probability `resample`, else moved: numbers times 0.8 or 1.2, options by one.

    Holds: the result lies in the space. Numbers stay within their range; a whole number moves by one at least, so
    that a small one is not stuck, and gets to 0 only where the range has it. A choice moves to a neighbour in the
    order of the declaration, and stays at an end; parameters that then come to exist are drawn.
    Source: Jaderberg et al. 2017, arXiv:1711.09846, with the figures of Ray Tune. Ours: ends and whole numbers.
    """
    moved: dict[str, Json] = {}
    for parameter in space.active(config):
        if random.random() < resample:
            moved[parameter.name] = parameter.domain.at(random.random())
        else:
            moved[parameter.name] = _moved(parameter.domain, config[parameter.name], random)
    return space.complete(moved, random)


def _moved(domain: Domain, value: Json, random: Random) -> Json:
    if isinstance(domain, Choice):
        number = domain.index(value) + random.choice((-1, 1))
        return domain.options[min(max(number, 0), len(domain.options) - 1)].value
    assert isinstance(value, int | float)
    factor = random.choice(FACTORS)
    if isinstance(domain, Float):
        return min(max(value * factor, domain.low), domain.high)
    return _whole(domain, int(value), factor)


def _whole(domain: Int, value: int, factor: float) -> int:
    moved = round(value * factor)
    if moved == value:
        moved += 1 if factor > 1 else -1
    return min(max(moved, domain.low), domain.high)
