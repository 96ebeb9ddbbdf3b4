"""The gate: what passes can be started, and what does not is told all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from orchestrator.spec.contradictions import contradictions
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, Problem, SpecInvalid
from orchestrator.spec.shape import shape
from orchestrator.spec.source import Source, overridden, read_file
from orchestrator.spec.world import absences

Given: TypeAlias = Spec | Mapping[str, Any] | Path | str
"""A spec: as a model, as plain data, or as the name of a YAML or JSON file."""


def check(
    given: Given,
    overrides: Sequence[str] = (),
    complaints: Callable[[Spec], Iterable[Complaint]] = lambda spec: (),
) -> Spec:
    """The spec, if a run can start from it. Imports its task, and torch with it.

    overrides: "train.workers=8", values as in YAML, applied in order. complaints: what else may be wrong with it.
    Raises:
        SpecInvalid: with every problem: of single values, of values together, and with what they name outside.
    """
    source = overridden(_read(given), overrides)
    spec, broken = shape(source)
    problems = [*source.problems, *broken]
    for complaint in chain(contradictions(spec), absences(spec), complaints(spec) if len(spec.given) == 1 else ()):
        if not any(_touches(keys, problem.keys) for keys in complaint.about for problem in broken):
            keys = complaint.about[0]
            problems.append(Problem(source.place(keys), keys, complaint.message))
    if problems:
        raise SpecInvalid(tuple(sorted(problems, key=lambda problem: source.order(problem.keys))))
    return spec


def load(file: Path) -> Spec:
    """The spec of a run that was started: single values are checked again, what it names outside is not.

    Raises:
        SpecInvalid: the file is damaged, or of another version.
    """
    spec, broken = shape(read_file(file))
    if broken:
        raise SpecInvalid(broken)
    return spec


def _read(given: Given) -> Source:
    if isinstance(given, Spec):
        return Source(given.model_dump(mode="json"))
    return Source(dict(given)) if isinstance(given, Mapping) else read_file(Path(given))


def _touches(keys: Keys, broken: Keys) -> bool:
    """Whether one stands within the other."""
    shorter = min(len(keys), len(broken))
    return keys[:shorter] == broken[:shorter]
