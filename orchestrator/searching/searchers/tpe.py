"""`tpe`: draws where the good trials so far lie dense and the others do not, by Optuna's sampler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.records import Json
from orchestrator.searching.score import WORST, ranked
from orchestrator.searching.searcher import Checkpoint, Scope, Segment
from orchestrator.searching.space import Choice, Config, Domain, Float, Parameter

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

BEST, NEWEST = 25, 275  # of the history that a draw looks at: Optuna calls at most 25 trials good


@dataclass(slots=True)
class Drawn:
    """score: None while it is running."""

    config: dict[str, Json]
    score: float | None = None


@dataclass(slots=True)
class State:
    drawn: list[Drawn] = field(default_factory=list)


class Tpe:
    """`Searcher`. Every trial trains for the whole budget.

    startup: >= 1, so many trials are drawn evenly before the model is used. candidates: >= 1, draws of which the most
    promising is taken, for each parameter.

    Pure: each draw makes a new sampler, seeded by (seed, trial), and a study of the history in memory, so the history
    is the whole state. Running trials count as poor ones ("constant liar"), so that a pool does not draw one place
    many times over. A trial that diverged or failed counts as the poorest.
    Cost: 25 ms a draw at most, for the best 25 and the newest 275 trials are looked at.
    Source: Bergstra et al. 2011; optuna.samplers.TPESampler, each parameter by itself.
    """

    def __init__(self, scope: Scope, startup: int = 10, candidates: int = 24) -> None:
        self._scope, self._startup, self._candidates = scope, startup, candidates
        self._state = State()

    def next(self) -> Segment | None:
        drawn, scope = self._state.drawn, self._scope
        trial = len(drawn)
        if trial == scope.trials:
            return None
        scored = sum(other.score is not None for other in drawn)
        config = scope.config(trial) if scored < self._startup else self._draw(trial)
        drawn.append(Drawn(dict(config)))
        return Segment(trial, config, scope.epochs)

    def told(self, trial: int, score: float) -> None:
        self._state.drawn[trial].score = score

    def failed(self, trial: int) -> None:
        self._state.drawn[trial].score = WORST

    @property
    def finished(self) -> bool:
        drawn = self._state.drawn
        return len(drawn) == self._scope.trials and all(trial.score is not None for trial in drawn)

    def needed(self) -> Iterable[Checkpoint]:
        return ()

    def state_dict(self) -> Json:
        state: Json = msgspec.to_builtins(self._state)
        return state

    def load_state_dict(self, state: Json) -> None:
        self._state = msgspec.convert(state, State)

    def _draw(self, trial: int) -> Config:
        import optuna  # here, so that nobody else pays for it

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(
            seed=Random(f"{self._scope.seed} draw {trial}").getrandbits(32),
            n_startup_trials=self._startup,
            n_ei_candidates=self._candidates,
            constant_liar=True,
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        parameters = self._scope.space.parameters
        for drawn in self._looked_at():
            found = list(_found(parameters, drawn.config, ""))
            study.add_trial(
                optuna.create_trial(
                    state=optuna.trial.TrialState.RUNNING if drawn.score is None else optuna.trial.TrialState.COMPLETE,
                    value=drawn.score,
                    params={name: value for name, value, _ in found},
                    distributions={name: _distribution(domain) for name, _, domain in found},
                )
            )
        config: dict[str, Json] = {}
        _suggest(parameters, study.ask(), "", config)
        return config

    def _looked_at(self) -> Sequence[Drawn]:
        drawn = self._state.drawn
        scores = {trial: other.score for trial, other in enumerate(drawn) if other.score is not None}
        running = [trial for trial, other in enumerate(drawn) if other.score is None]
        newest = sorted(scores)[-NEWEST:]
        return [drawn[trial] for trial in sorted({*ranked(scores)[:BEST], *newest, *running})]


def _suggest(parameters: Sequence[Parameter], trial: Trial, above: str, config: dict[str, Json]) -> None:
    for parameter in parameters:
        name, domain = above + parameter.name, parameter.domain
        if isinstance(domain, Choice):
            number = int(trial.suggest_categorical(name, tuple(range(len(domain.options)))))
            config[parameter.name] = domain.options[number].value
            _suggest(domain.options[number].then, trial, f"{name}={number} ", config)
        elif isinstance(domain, Float):
            config[parameter.name] = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
        else:
            config[parameter.name] = trial.suggest_int(name, domain.low, domain.high, log=domain.log)


def _found(
    parameters: Sequence[Parameter], config: Mapping[str, Json], above: str
) -> Iterator[tuple[str, Any, Domain]]:
    """Optuna's name, value and range of each parameter of a config; an option is its number there."""
    for parameter in parameters:
        name, domain, value = above + parameter.name, parameter.domain, config[parameter.name]
        if isinstance(domain, Choice):
            number = domain.index(value)
            yield name, number, domain
            yield from _found(domain.options[number].then, config, f"{name}={number} ")
        else:
            yield name, value, domain


def _distribution(domain: Domain) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(domain, Choice):
        return CategoricalDistribution(tuple(range(len(domain.options))))
    kind = FloatDistribution if isinstance(domain, Float) else IntDistribution
    return kind(domain.low, domain.high, log=domain.log)  # type: ignore[arg-type]  # ints for ints
