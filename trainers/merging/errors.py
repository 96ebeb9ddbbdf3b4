"""What can go wrong when models are merged, as sentences for whoever must act.

MergeError
├── MethodUnknown      no merge method of that name
├── OptionInvalid      an option that the method does not have, or a value that it cannot take
├── MethodNeeds        too few or too many sources, or a base that is missing
├── SourceInvalid      a file or folder that holds no model
├── SourcesDiffer      other tensors, shapes or dtypes than the first source
├── SourceNonFinite    a tensor holds NaN or Inf
├── SourcesUnrelated   parents that do not come from one start
└── PredictionsInvalid outputs that are no class probabilities
"""

from __future__ import annotations

from trainers.errors import TrainersError, did_you_mean

SHOWN = 3
"""How many differing tensors a sentence names."""


class MergeError(TrainersError):
    """Root of the errors of merging."""


class MethodUnknown(MergeError):
    """No merge method is called so. allowed: those there are."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(method, allowed)
        self.method, self.allowed = method, allowed

    def __str__(self) -> str:
        return f"{self.method!r} is not a merge method{did_you_mean(self.method, self.allowed)}"


class OptionInvalid(MergeError):
    """An option of a merge method that does not exist, or whose value cannot be. problem: a clause."""

    def __init__(self, method: str, option: str, problem: str) -> None:
        super().__init__(method, option, problem)
        self.method, self.option, self.problem = method, option, problem

    def __str__(self) -> str:
        return f"{self.method}.{self.option}: {self.problem}"


class MethodNeeds(MergeError):
    """A method was given sources that it cannot work on. needs: what it wants, a clause."""

    def __init__(self, method: str, sources: int, needs: str) -> None:
        super().__init__(method, sources, needs)
        self.method, self.sources, self.needs = method, sources, needs

    def __str__(self) -> str:
        return f"{self.method} needs {self.needs}; it got {self.sources} source{'' if self.sources == 1 else 's'}"


class SourceInvalid(MergeError):
    """A source that cannot be read as a model. source: as the user named it. problem: a clause."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source, self.problem = source, problem

    def __str__(self) -> str:
        return f"source {self.source!r}: {self.problem}"


class SourcesDiffer(MergeError):
    """Two sources are of two architectures. differing: one clause a tensor, which names it."""

    def __init__(self, source: str, peer: str, differing: tuple[str, ...]) -> None:
        super().__init__(source, peer, differing)
        self.source, self.peer, self.differing = source, peer, differing

    def __str__(self) -> str:
        more = len(self.differing) - SHOWN
        shown = "; ".join(self.differing[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return (
            f"sources {self.source!r} and {self.peer!r} cannot be merged: {shown}. Weights are merged only between "
            "models of one architecture; models of several can be an ensemble (method: ensemble)."
        )


class SourceNonFinite(MergeError):
    """A source holds NaN or Inf. tensor: its name. count: how many of its `size` numbers."""

    def __init__(self, source: str, tensor: str, count: int, size: int) -> None:
        super().__init__(source, tensor, count, size)
        self.source, self.tensor, self.count, self.size = source, tensor, count, size

    def __str__(self) -> str:
        return (
            f"source {self.source!r}: {self.count:,} of the {self.size:,} numbers of tensor {self.tensor!r} are NaN or "
            "Inf, and so would be the merge's. Leave this source out, or take an earlier checkpoint of it."
        )


class SourcesUnrelated(MergeError):
    """Two parents that were not trained from one start. cosine: their matrices' median; tensor: the least alike one."""

    def __init__(self, source: str, peer: str, tensor: str, cosine: float, least: float) -> None:
        super().__init__(source, peer, tensor, cosine, least)
        self.source, self.peer, self.tensor, self.cosine, self.least = source, peer, tensor, cosine, least

    def __str__(self) -> str:
        return (
            f"sources {self.source!r} and {self.peer!r} look as if they were trained from two different starts: the "
            f"median cosine of their matrices is {self.cosine:.3f} (least alike: {self.tensor!r}), below {self.least}, "
            "and the mean of such models is worth nothing. Merge models fine-tuned from one start, take them as an "
            "ensemble (method: ensemble), or say allow_unrelated: true."
        )


class PredictionsInvalid(MergeError):
    """Predictions that are no class probabilities. problem: a clause."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"predictions cannot be combined: {self.problem}"
