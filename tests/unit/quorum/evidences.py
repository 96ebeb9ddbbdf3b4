"""Evidence of every kind a quorum may be shown, the sparse and the odd included."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan
from random import Random

from hypothesis import strategies as st

from orchestrator.records import Arrivals, Evidence, RoundTrip

ODD_SIGNALS = (nan, inf, -inf, -1.0, 0.0, 1e-300, 1e300)


def evidence(seed: int, present: int) -> Evidence:
    """One of many kinds, by its seed: names need not agree between the mappings, nor their numbers with `present`."""
    random = Random(seed)
    unit_s = random.choice([0.0, 1e-9, 1.0, 1.0, 1e6])

    def seconds() -> float:
        return unit_s * random.choice([1.0, random.expovariate(1), random.paretovariate(1)])

    names = [f"w{i}" for i in range(random.choice([0, present, present, present, min(present, 3), present + 2]))]
    windows = [
        [RoundTrip(seconds(), seconds(), random.random() < 0.9) for _ in range(random.randrange(6))] for _ in range(5)
    ]
    return Evidence(
        round=random.randrange(1000),
        opened_s=0.0,
        now_s=seconds(),
        eligible=present + random.randrange(3),
        present=present,
        arrived=1,
        round_trips={name: random.choice(windows) for name in names},
        arrivals=[
            Arrivals(random.randrange(present + 2), sorted(seconds() for _ in range(random.randrange(present + 2))))
            for _ in range(random.randrange(5))
        ],
        in_flight_s={name: seconds() for name in random.sample([*names, "stranger"], random.randint(0, len(names)))},
        signals=signals(random),
        memory=None,
        seed=random.randrange(-(2**63), 2**64),
    )


def signals(random: Random) -> Mapping[str, float]:
    """None, plausible ones, or plausible ones of which some are missing and some are odd."""
    plausible = {
        "loss": random.uniform(0, 3),
        "sum_norm2": random.uniform(5, 50),
        "norm2": random.uniform(0, 5),
        "change_norm2": random.uniform(0, 5),
        "step_dot_gradient": random.gauss(0, 1),
        "step_norm2": random.uniform(0, 1),
        "k": random.randint(1, 10),
        "learning_rate": random.uniform(0, 2),
        "momentum": random.choice([0.0, 0.9]),
        "learning_rate_exponent": random.choice([0.0, 0.5, 1.0]),
    }
    kind = random.randrange(4)
    if kind == 0:
        return {}
    if kind == 1:
        return {
            name: random.choice(ODD_SIGNALS) if random.random() < 0.3 else value
            for name, value in plausible.items()
            if random.random() < 0.9
        }
    return plausible


evidences = st.builds(evidence, st.integers(0, 2**32), st.one_of(st.integers(1, 20), st.sampled_from([25, 65, 300])))
histories = st.lists(evidences, min_size=1, max_size=6)
"""What one policy is shown one after the other; rounds need not follow each other."""
