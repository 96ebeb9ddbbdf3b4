"""AutoHAS and successive halving on thirty cells of digits: section 9 of the sheet on AutoHAS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import torch

from benchmarks.harness import Target
from benchmarks.sheets.digit_cells import (
    EPOCHS,
    EVALUATED,
    SAMPLES,
    SPACE,
    STEPS_AN_EPOCH,
    TRAINING,
    Cell,
    DigitCells,
    cell_of,
    cells,
    config_of,
    grid_cost,
    truth,
)
from orchestrator.compute import executor
from orchestrator.core import Core
from orchestrator.pools.inline import InlinePool
from orchestrator.protocols import Quorum, Strategy
from orchestrator.quorum import First, Full
from orchestrator.records import Told
from orchestrator.searching.basis import basis
from orchestrator.searching.basis import config_of as config_of_picks
from orchestrator.searching.policy_top import most_likely
from orchestrator.searching.searcher import Scope
from orchestrator.searching.searchers import SuccessiveHalving
from orchestrator.searching.space import Config
from orchestrator.strategies import Autohas, AutohasSettings, FinaleSettings
from orchestrator.strategies.autohas import Weights
from orchestrator.strategies.chains import Course
from orchestrator.strategies.trials import Trials, TrialsSettings
from orchestrator.values.memory import MemoryValues
from trainers import Context, Split

SEEDS, QUICK_SEEDS = 10, 3
WORKERS = 4
TOP, CONFIRMING = 2, 2  # configurations, and seeds of each: a third one would cost 0.07 of the grid
UPDATES: Mapping[Weights, int] = {"fresh": 22, "young": 19, "kept": 19}
"""What is left of a fifth of the grid: an update costs 85 steps, and with shared weights four more."""

COURSE = Course(TRAINING, "accuracy", every=EPOCHS)
FIRST_RUNGS = (4, 12, 37)  # steps


@dataclass(frozen=True, slots=True)
class Search:
    """One search. picked: after all. favourite: the policy's most likely, before confirmation; None: it has none."""

    picked: Cell
    favourite: Cell | None
    cost: float


def rows(quick: bool) -> tuple[list[dict[str, Any]], list[Target]]:
    """A row a method. Costs are shares of that of training all cells once, evaluations included."""
    torch.set_num_threads(1)
    seeds = range(QUICK_SEEDS if quick else SEEDS)
    table = truth()
    searches = {name: [search(seed) for seed in seeds] for name, search in _methods(quick)}
    made = [_row(name, found, table) for name, found in searches.items()]
    ours = made[0]
    halving = next(row for row in made if row["search"] == f"successive halving from {FIRST_RUNGS[1]} steps")
    least = 0.9 * len(seeds)
    return made, [
        Target(f"AutoHAS's picks among the true three best, of {len(seeds)}", ours["in top 3"], least, "higher"),
        Target("AutoHAS's cost / the grid's", ours["cost"], 0.2, "lower"),
        Target(f"successive halving's picks among them, of {len(seeds)}", halving["in top 3"], least, "higher"),
    ]


def _methods(quick: bool) -> Iterator[tuple[str, Callable[[int], Search]]]:
    yield "AutoHAS, fresh", partial(autohas, "fresh")
    if not quick:
        yield "AutoHAS, young, renewed every 5", partial(autohas, "young")
        yield "AutoHAS, kept, no warm-up", partial(autohas, "kept")
    for steps in FIRST_RUNGS:
        yield f"successive halving from {steps} steps", partial(_halving, steps)


def _row(name: str, searches: list[Search], table: Mapping[Cell, float]) -> dict[str, Any]:
    best = sorted(table, key=lambda cell: -table[cell])
    favourites = [search.favourite for search in searches if search.favourite is not None]
    return {
        "search": name,
        "in top 3": sum(search.picked in best[:3] for search in searches),
        "before confirmation": sum(cell in best[:3] for cell in favourites) if favourites else "",
        "seeds": len(searches),
        "cost": fmean(search.cost for search in searches) / grid_cost(),
        "regret, points": fmean(100 * (table[best[0]] - table[search.picked]) for search in searches),
    }


def autohas(weights: Weights, seed: int) -> Search:
    """One search with the default settings, but for how many updates and confirming runs. Cost: 2 s."""
    decisions = basis(SPACE, 1)
    final = FinaleSettings(COURSE, TOP, CONFIRMING, EPOCHS, keep=1)
    settings = AutohasSettings(decisions, seed, final, updates=UPDATES[weights], weights=weights)
    strategy = Autohas(settings)
    cost = _run(strategy, Full(), seed)
    likely = most_likely(strategy.policy, 1)[0].cell
    best = strategy.finale.confirmation.ranking()[0]
    return Search(cell_of(best.config), cell_of(config_of_picks(decisions, likely)), cost)


@dataclass(frozen=True, slots=True)
class Everything(Scope):
    """Trial n is cell n."""

    def config(self, trial: int) -> Config:
        return config_of(cells()[trial])


def _halving(first: int, seed: int) -> Search:
    scope = Everything(SPACE, seed, len(cells()), EPOCHS)
    searcher = SuccessiveHalving(scope, eta=3.0, first=first / STEPS_AN_EPOCH)
    settings = TrialsSettings(COURSE, len(cells()), EPOCHS, top=0, seeds=0, keep=1, first=scope.config(0))
    trials = Trials(settings, searcher)
    cost = _run(trials, First(), seed)
    return Search(cell_of(trials.chosen.config), None, cost)


def _run(strategy: Strategy, quorum: Quorum, seed: int) -> float:
    """Runs it in this process, on the real core; returns what it cost, in steps."""
    values = MemoryValues()
    core = Core(strategy, quorum, seed=seed)
    pool = InlinePool(WORKERS, executor(values, Context(DigitCells(), seed)))
    cost = 0.0
    while not core.finished:
        actions = core.handle(pool.wait(core.deadline_s))
        cost += sum(_steps(told) for told in actions.told)
        pool.submit(actions.submit)
    return cost


def _steps(told: Told) -> float:
    """What a work cost. The chosen model's test is no part of a search."""
    params, metrics = told.work.params, told.result.metrics
    if told.work.kind == "candidate":
        return metrics["steps"] + float(str(params["count"])) / EVALUATED
    if told.work.kind == "share":
        return metrics["steps"]
    if told.work.kind == "trial":
        epochs = float(str(params["end"])) - float(str(params["start"]))
        return epochs * STEPS_AN_EPOCH + SAMPLES[Split.VALIDATION] / EVALUATED
    return 0.0
