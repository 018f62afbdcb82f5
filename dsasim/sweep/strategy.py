"""Which points are run: a strategy yields batches of point numbers and is sent what came of each."""

import random
from collections.abc import Generator, Mapping

from dsasim.sweep.search import search
from dsasim.sweep.space import DesignSpace
from dsasim.sweep.spec import SEARCHES, SweepSpec

Objectives = tuple[float, ...]
"""The objectives' values of one point, in the spec's order."""

Search = Generator[list[int], Mapping[int, Objectives], None]
"""Yields point numbers; is sent the objectives of those that ran and broke no constraint."""


def start(spec: SweepSpec, space: DesignSpace) -> Search:
    """Begin the strategy of a spec; ConfigError if it needs an extra that is not installed."""
    strategy = spec.strategy
    if strategy.method in SEARCHES:
        return search(spec, tuple(len(axis.values) for axis in spec.axes), strategy)
    return random_points(space, strategy.num_points or 0, strategy.seed) if strategy.method == "random" else grid(space)


def grid(space: DesignSpace) -> Search:
    """Every point, in one batch."""
    yield list(range(space.num_points))


def random_points(space: DesignSpace, num_points: int, seed: int) -> Search:
    """`num_points` points whose designs can be run, each once, or all of them; those met that cannot come along."""
    order = _shuffled(space.num_points, random.Random(seed))  # noqa: S311 (not for secrets)
    batch: list[int] = []
    keys: set[str] = set()
    while len(keys) < num_points and (number := next(order, None)) is not None:
        point = space.point(number)
        if point.status != "ready" or point.key not in keys:
            batch.append(number)
        if point.status == "ready":
            keys.add(point.key)
    yield batch


def _shuffled(count: int, source: random.Random) -> Generator[int, None, None]:
    """0 to count - 1 in random order, without a list of them all (Fisher and Yates, only moved places stored)."""
    moved: dict[int, int] = {}
    for at in range(count):
        other = source.randrange(at, count)
        yield moved.get(other, other)
        moved[other] = moved.pop(at, at)
