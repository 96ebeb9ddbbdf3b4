"""An engine killed at any instant loses nothing: every strategy and quorum, calm and stormy, at seeded positions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from tests.support.scenario import CALM, STORM, End, Knife, World, end_of, run_to_end
from tests.support.toys.cases import CASES

INSTANTS = ("before append", "appended", "handled", "in snapshot", "in rotation", "in resume")
POSITIONS = 42  # a multiple of the instants: each seven times for every case and weather

MakeWorld = Callable[[], World]


class Uninterrupted(NamedTuple):
    """What the run comes to when nobody kills it, and how often it passes each instant."""

    end: End
    passed: Mapping[str, int]


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a disk: the thousands of syncs are not what is tested here."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[CALM, STORM], ids=["calm", "storm"])
def make_world(request: pytest.FixtureRequest, case: str, folder: Path) -> MakeWorld:
    numbers = count()

    def make() -> World:
        world = World(folder / str(next(numbers)), CASES[case], request.param, seed=7)
        world.folder.mkdir()
        return world

    return make


@pytest.fixture
def uninterrupted(make_world: MakeWorld) -> Uninterrupted:
    world, knife = make_world(), Knife()
    _, weights = run_to_end(world, knife, survives=True, torn=None)
    end = end_of(world)
    assert end.weights == weights
    return Uninterrupted(end, knife.passed)


def cuts(draw: random.Random, position: int, passed: Mapping[str, int]) -> list[tuple[str, int]]:
    """One kill at a random moment, of each kind in turn; where the resume is to be killed, once or twice more."""
    instant = INSTANTS[position % len(INSTANTS)]
    if instant != "in resume":
        return [(instant, draw.randrange(passed[instant]))]
    resumes = [("in resume", draw.randrange(3)) for _ in range(draw.choice([1, 2]))]
    return [("appended", draw.randrange(passed["appended"])), *resumes]


@pytest.mark.parametrize("survives", [True, False], ids=["pool survives", "all in flight lost"])
def test_a_killed_run_resumes_to_what_it_would_have_been(
    make_world: MakeWorld, uninterrupted: Uninterrupted, case: str, survives: bool
) -> None:
    for position in range(POSITIONS):
        seed = f"{case} {position} {survives}"
        draw = random.Random(seed)
        world = make_world()
        planned = cuts(draw, position, uninterrupted.passed)
        torn = draw if position % 3 == 0 else None
        kills, weights = run_to_end(world, Knife(list(planned)), survives=survives, torn=torn)
        assert kills == len(planned), f"the knife missed: {seed} {planned}"
        end = end_of(world)
        assert weights == end.weights, f"the run and the replay of its journal differ: {seed} {planned}"
        if survives:
            assert end == uninterrupted.end, f"the resumed run is not the uninterrupted one: {seed} {planned}"
        rmtree(world.folder)
