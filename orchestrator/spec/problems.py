"""What is wrong with a spec, for whoever wrote it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from orchestrator.errors import BadInput

Keys: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a spec, from the outside in: ("train", "quorum")."""


class Problem(NamedTuple):
    """One thing to mend.

    place: "train.yaml:7" or "--set train.workers=0", or "" for a spec made in Python. keys: of the value, or ().
    message: a sentence that says what was given, what is allowed, and the nearest spelling; it names the keys.
    """

    place: str
    keys: Keys
    message: str

    def __str__(self) -> str:
        return f"{self.place} {self.message}".lstrip()


class Complaint(NamedTuple):
    """A problem whose place is not known yet.

    about: keys of the values it is about, the one to mend first. With one of them broken it says nothing.
    """

    about: tuple[Keys, ...]
    message: str


class SpecInvalid(BadInput):
    """A spec that cannot run, with every problem found, in the order of its lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def dotted(keys: Keys) -> str:
    """The keys as a user writes them: train.quorum.static.k."""
    return ".".join(str(key) for key in keys)


def shown(given: object) -> str:
    """A given value as short text on one line, in the words of YAML."""
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(given), repr(given))
    return text if len(text) <= 60 else f"{text[:57]}…"


def complaint(keys: Keys, why: str, *others: Keys) -> Complaint:
    """That the value at these keys, together with others, cannot be; why: follows its name."""
    return Complaint((keys, *others), f"{dotted(keys)} {why}")
