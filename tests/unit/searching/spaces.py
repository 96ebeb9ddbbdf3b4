"""Any space at all: ranges, choices, and choices under which further parameters hang."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from orchestrator.searching.declaration import read_space
from orchestrator.searching.space import Choice, Domain, Float, Int, Option, Parameter, Space

real = st.floats(-1e3, 1e3)
positive = st.floats(1e-6, 1e3)
whole = st.integers(-50, 50)


def _pair(numbers: SearchStrategy[float]) -> SearchStrategy[tuple[float, float]]:
    return st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))


ranges: SearchStrategy[Domain] = st.one_of(
    _pair(real).map(lambda ends: Float(*ends)),
    _pair(positive).map(lambda ends: Float(*ends, log=True)),
    _pair(whole).map(lambda ends: Int(int(ends[0]), int(ends[1]))),
    _pair(st.integers(1, 500)).map(lambda ends: Int(int(ends[0]), int(ends[1]), log=True)),
)
values = st.one_of(st.integers(0, 3), st.text(max_size=3), st.booleans(), st.none(), st.lists(st.integers(0, 2)))
plain_choices: SearchStrategy[Domain] = st.lists(values, min_size=1, max_size=4, unique_by=repr).map(
    lambda options: Choice.of(*options)
)


@st.composite
def _parameters(draw: DrawFn, prefix: str, depth: int) -> tuple[Parameter, ...]:
    domains = st.one_of(ranges, plain_choices)
    parameters = []
    for number in range(draw(st.integers(0 if depth else 1, 3))):
        name = f"{prefix}{number}"
        if depth < 2 and draw(st.booleans()):
            count = draw(st.integers(1, 3))
            texts = draw(st.booleans())  # else numbers
            options = [
                Option(f"o{i}" if texts else i, draw(_parameters(f"{name}_{i}_", depth + 1))) for i in range(count)
            ]
            parameters.append(Parameter(name, Choice(tuple(options))))
        else:
            parameters.append(Parameter(name, draw(domains)))
    return tuple(parameters)


spaces: SearchStrategy[Space] = _parameters("p", 0).map(Space)

TRAINING, NO_FAULTS = read_space(
    {
        "model.width": {"choice": [16, 32, 64]},
        "optimizer.lr": {"log": [0.001, 1.0]},
        "batch_size": {"int": [16, 256], "log": True},
        "optimizer.name": {
            "choice": {
                "sgd": {"optimizer.momentum": {"float": [0, 0.99]}},
                "adamw": {"optimizer.weight_decay": {"log": [1e-6, 0.01]}},
            }
        },
    }
)
"""Architecture and training hyperparameters, one of them conditional."""
