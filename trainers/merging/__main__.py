"""Merges files into files: `python -m trainers.merging METHOD --out FOLDER [--base MODEL] [--option A=B] MODEL …`.

A model is a .safetensors file or a folder with shards. Nothing is written before all is checked: exit status 2, with a
line for everything that is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trainers.errors import TrainersError
from trainers.merging import (
    METHODS,
    MergeError,
    Plan,
    describe_bytes,
    differences,
    merge_to_folder,
    method_of,
    open_source,
    unusable,
)
from trainers.merging.errors import SourceInvalid
from trainers.merging.shards import MANIFEST, SHARD_BYTES

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    asked = _parser().parse_args(arguments)
    errors: list[TrainersError] = []
    method = _tried(errors, MergeError, lambda: method_of(asked.method))
    options = None if method is None else _tried(errors, MergeError, lambda: method.options(_options(asked.option)))
    names = [*([asked.base] if asked.base else []), *asked.models]
    models = [_tried(errors, SourceInvalid, partial(open_source, name, Path(name))) for name in names]
    if method is not None:
        count, with_base = len(asked.models), bool(asked.base)
        _tried(errors, MergeError, lambda: method.require_sources(count, with_base=with_base))
    opened = [model for model in models if model is not None]
    if len(opened) == len(names):
        errors.extend(differences(opened) or unusable(opened, allow_unrelated=asked.allow_unrelated))
    taken = asked.out.exists() and not (asked.out.is_dir() and not any(asked.out.iterdir()))
    if errors or taken or method is None or options is None:
        there = [f"--out {asked.out} is not empty; give a folder that is, or is not there"] if taken else []
        print(*errors, *there, "nothing was written", sep="\n", file=sys.stderr)
        return 2
    base, sources = (opened[0], opened[1:]) if asked.base else (None, opened)
    plan = Plan(method, options, tuple(sources), base if method.needs_base else None)
    print(f"{len(plan.result):,} tensors of {len(plan.models)} models; takes {describe_bytes(plan.peak_bytes)} at most")
    manifest = merge_to_folder(plan, asked.out, asked.shard_bytes)
    made = list(manifest["tensors"].values())
    print(*(f"{made.count(how)} {how}" for how in dict.fromkeys(made)), sep=", ")
    print(f"{asked.out / MANIFEST} says what was merged from what")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainers.merging", description="Merges models on disk, as a stream."
    )
    parser.add_argument("method", help=f"one of {', '.join(METHODS)}")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a .safetensors file, or a folder with shards")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if need be")
    parser.add_argument("--base", metavar="MODEL", help="what the models were fine-tuned from")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the method; repeatable")
    parser.add_argument("--shard-bytes", type=int, default=SHARD_BYTES, metavar="N", help="of one file, at most")
    parser.add_argument("--allow-unrelated", action="store_true", help="also models of different starts")
    return parser


def _options(given: Sequence[str]) -> Mapping[str, Any]:
    """Values as JSON, and as text where they are none."""
    options = {}
    for pair in given:
        name, _, value = pair.partition("=")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _tried(errors: list[TrainersError], expected: type[TrainersError], make: Callable[[], T]) -> T | None:
    """What it makes, or None, its error being one more of those."""
    try:
        return make()
    except expected as error:
        errors.append(error)
        return None


if __name__ == "__main__":
    sys.exit(main())
