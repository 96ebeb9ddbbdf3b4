"""The models that a merge is to merge: found, opened and looked at before anything starts, all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import BadInput
from orchestrator.sources import FoundModel, SourceMissing, find_models
from orchestrator.spec.merge import FREE, Merge, SourceFile
from orchestrator.spec.models import Spec
from orchestrator.spec.problems import Complaint, Keys, complaint, dotted
from trainers import Task, build_model
from trainers.flat import Layout
from trainers.merging import MergeError, Source, differences, recipe_of, unusable
from trainers.merging.errors import MethodNeeds, MethodUnknown, OptionInvalid, SourceInvalid

SOURCES, BASE, METHOD, PARENTS = (("merge", key) for key in ("sources", "base", "method", "parents"))

REMEDY = "Give the arguments it was made with: {path: …, model: {…}}."


class ModelsRefused(BadInput):
    """Models that cannot be merged, when the run that they were to come from had ended. problems: sentences."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class Named(NamedTuple):
    """A found model, and which value of the spec named it."""

    keys: Keys
    found: FoundModel


@dataclass(slots=True)
class Models:
    """What a merge names. problems: what is wrong; with any of them the rest is as far as it could be found."""

    sources: list[Named] = field(default_factory=list)
    base: Named | None = None
    problems: list[Complaint] = field(default_factory=list)

    @property
    def all(self) -> Sequence[Named]:
        """The base first, if there is one: it is what the sources are compared with."""
        return self.sources if self.base is None else [self.base, *self.sources]


def look_up(spec: Spec) -> Models:
    """Finds what the section names, and fetches what MLflow has; reads headers only."""
    merge, models = _section(spec), Models()
    for number, given in enumerate(merge.sources):
        models.sources.extend(_found(spec, (*SOURCES, number), given, models.problems))
    if merge.base is not None:
        for named in _found(spec, BASE, merge.base, models.problems):
            models.base = named
    return models


def complaints(spec: Spec, task: Task | None) -> Iterator[Complaint]:
    """All that is wrong with a merge's models and methods. Cost: reads every source once.

    task: None where it could not be loaded.
    """
    merge = _section(spec)
    yield from _methods(merge)
    if merge.parents is not None or not merge.sources:
        return
    models = look_up(spec)
    yield from models.problems
    if not models.problems:
        yield from _merged(merge, models, task)


def resolved(spec: Spec) -> Spec:
    """The spec with every source as the file that it is, by which the run's record says what it merged.

    Raises:
        ModelsRefused: what came before in a chain left models that cannot be merged.
    """
    merge = _section(spec)
    if merge.parents is not None:
        return spec
    models = look_up(spec)
    problems = models.problems or list(_merged(merge, models, None))
    if problems:
        raise ModelsRefused(tuple(problem.message for problem in problems))
    arguments = common_arguments(merge, models.all)
    base = None if models.base is None else _as_file(models.base.found, arguments)
    sources = [_as_file(named.found, arguments) for named in models.sources]
    return spec.model_copy(
        update={"merge": merge.model_copy(update={"sources": sources, "base": base, "model": arguments})}
    )


def common_arguments(merge: Merge, models: Iterable[Named]) -> Mapping[str, Any]:
    """Of Task.model: the section's own, else those of the first model that says."""
    said = (named.found.arguments for named in models if named.found.arguments is not None)
    return merge.model or next(said, {})


def _section(spec: Spec) -> Merge:
    assert spec.merge is not None
    return spec.merge


def _found(spec: Spec, keys: Keys, given: str | SourceFile, problems: list[Complaint]) -> Sequence[Named]:
    source = given if isinstance(given, str) else given.path
    state = Path(spec.state).resolve()
    try:
        models = find_models(source, state, spec.tracking_uri(state))
    except SourceMissing as error:
        problems.append(complaint(keys, f"{str(error).rstrip('.')}."))
        return ()
    if isinstance(given, SourceFile):
        models = [
            model._replace(
                name=given.name or model.name,
                arguments=model.arguments if given.model is None else given.model,
                run=given.run or model.run,
            )
            for model in models
        ]
    return [Named(keys, model) for model in models]


def _as_file(found: FoundModel, arguments: Mapping[str, Any]) -> SourceFile:
    own = arguments if found.arguments is None else found.arguments
    return SourceFile(path=str(found.path.resolve()), name=found.name, model=dict(own), run=found.run)


def _methods(merge: Merge) -> Iterator[Complaint]:
    """Names and options, every value of a list."""
    for number, named in enumerate(merge.method):
        for name, options in named.items():
            keys: Keys = (*METHOD, number) if len(merge.method) > 1 else METHOD
            try:
                recipe = recipe_of(name)
            except MethodUnknown as error:
                yield complaint(keys, f"names no method: {str(error).rstrip('.')}.", METHOD)
                continue
            for option, given in options.items():
                for value in given if isinstance(given, list) else [given]:
                    try:
                        recipe.options({option: value})
                    except OptionInvalid as error:
                        where = (*keys, name, option)
                        yield Complaint((where, METHOD), f"{dotted(where)}: {error.problem.rstrip('.')}.")
            if merge.parents is not None:
                yield from _needs(name, merge.parents.count, with_base=True)


def _needs(name: str, sources: int, *, with_base: bool) -> Iterator[Complaint]:
    try:
        recipe_of(name).require_sources(sources, with_base=with_base)
    except MethodUnknown:
        return
    except MethodNeeds as error:
        yield complaint(METHOD, f"cannot work: {str(error).rstrip('.')}.", SOURCES, BASE, PARENTS)


def _merged(merge: Merge, models: Models, task: Task | None) -> Iterator[Complaint]:
    """Of models that are all there: whether they fit each other, the methods and the task."""
    for name in dict.fromkeys(name for recipe in merge.method for name in recipe):
        yield from _needs(name, len(models.sources), with_base=models.base is not None)
    opened: list[Source] = []
    for named in models.all:
        try:
            opened.append(named.found.opened())
        except SourceInvalid as error:
            yield complaint(named.keys, f"cannot be read: {error.problem}.")
    if len(opened) < len(models.all):
        return
    weights_are_merged = any(name not in FREE for recipe in merge.method for name in recipe)
    if weights_are_merged:
        unlike = [*_other_arguments(merge, models), *_told(models, opened, differences(opened))]
        yield from unlike
        if unlike:
            return
    found = [*_unfit(merge, models, opened, task)]
    yield from found
    if not found:
        if weights_are_merged:
            yield from _told(models, opened, unusable(opened, allow_unrelated=merge.allow_unrelated))
        else:
            for source in opened:
                yield from _told(models, [source], unusable([source], allow_unrelated=True))


def _told(models: Models, opened: Sequence[Source], errors: Iterable[MergeError]) -> Iterator[Complaint]:
    """As complaints about the value that names the source."""
    keys = {source.name: named.keys for source, named in zip(opened, models.all, strict=False)}
    for error in errors:
        where = keys.get(str(getattr(error, "source", "")), SOURCES)
        yield complaint(where, f"cannot be merged: {error}", SOURCES)


def _other_arguments(merge: Merge, models: Models) -> Iterator[Complaint]:
    """Equal shapes do not make equal models: an activation has no tensor."""
    expected = common_arguments(merge, models.all)
    for named in models.all:
        given = named.found.arguments
        if given is not None and dict(given) != dict(expected):
            why = f"was made with the arguments {dict(given)}, but the others, or merge.model, with {dict(expected)}."
            remedy = "Weights are merged only between equal models; models of several can be an ensemble."
            yield complaint(named.keys, f"{why} {remedy}", ("merge", "model"))


def _unfit(merge: Merge, models: Models, opened: Sequence[Source], task: Task | None) -> Iterator[Complaint]:
    """Whether each file's tensors are those of the task's model with its arguments."""
    if task is None:
        return
    for named, source in zip(models.all, opened, strict=True):
        arguments = named.found.arguments
        arguments = common_arguments(merge, models.all) if arguments is None else arguments
        if why := misfit(task, arguments, source):
            yield complaint(named.keys, f"{why}. {REMEDY}", ("merge", "model"))


def misfit(task: Task, arguments: Mapping[str, Any], source: Source) -> str:
    """Why a file's tensors are not those of the task's model with these arguments, to follow its name; "" if they are.

    Cost: a model is made; headers are read.
    """
    model = f"{type(task).__name__}.model({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"
    try:
        layout = Layout.of(build_model(task, arguments))
    except Exception as error:  # the user's model() may raise anything
        told = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".")
        return f"cannot be made: {model} raises {told}"
    shapes = {piece.name: piece.shape for piece in layout.pieces}
    known = {name for name, _ in layout.names}
    clauses = [
        *(f"{name} is missing" for name in shapes if name not in source.headers and not _is_tied(layout, name, source)),
        *(f"{name} is no tensor of it" for name in source.headers if name not in known),
        *(
            f"{name} is {list(header.shape)} of {header.dtype}, there {list(shape)} of {layout.dtype}"
            for name, shape in shapes.items()
            if (header := source.headers.get(name)) and (header.shape, header.dtype) != (shape, layout.dtype)
        ),
    ]
    if not clauses:
        return ""
    return f"does not fit {model}: {'; '.join(clauses[:3])}{'; …' if len(clauses) > 3 else ''}"


def _is_tied(layout: Layout, name: str, source: Source) -> bool:
    """Whether the file has the tensor under another of its names."""
    return any(place == name and other in source.headers for other, place in layout.names)
