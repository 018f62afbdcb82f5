"""How much of the objectives' space a set of points dominates, and the search space whose grid is on file."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsasim.sweep.metrics import Sense
from dsasim.sweep.pareto import pareto_front
from dsasim.sweep.search import search
from dsasim.sweep.spec import Strategy, SweepSpec, load_sweep_spec

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "examples" / "sweep_search.yaml"
GRID = ROOT / "tests" / "golden" / "search" / "grid.csv"


def hypervolume(points: NDArray[np.float64], reference: Sequence[float]) -> float:
    """The volume that is dominated by `points` [n, dimensions], all minimised, up to `reference`: slice by slice.

    Worked example: (0, 1) and (1, 0) up to (2, 2) dominate 2 + 2 - 1 = 3.
    """
    inside = points[(points < np.asarray(reference)).all(axis=1)]
    if not len(inside):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - inside.min())
    senses: tuple[Sense, ...] = ("min",) * points.shape[1]
    front = inside[pareto_front(dict(enumerate(inside.tolist())), senses)]  # the others add nothing
    front = front[np.argsort(front[:, -1])]
    heights = np.append(front[1:, -1], reference[-1]) - front[:, -1]
    return sum(
        float(height) * hypervolume(front[: at + 1, :-1], reference[:-1])
        for at, height in enumerate(heights)
        if height > 0
    )


def load_grid() -> NDArray[np.float64]:
    """The objectives of every point [points, objectives]."""
    with GRID.open(encoding="utf-8") as file:
        return np.array(list(csv.reader(file))[1:], np.float64)


def searched(spec: SweepSpec, grid: NDArray[np.float64], strategy: Strategy) -> list[int]:
    """The points that a search asks for when it is told what the grid's file holds, each once."""
    asking = search(spec, tuple(len(axis.values) for axis in spec.axes), strategy)
    found: list[int] = []
    numbers: list[int] | None = next(asking)
    while numbers is not None:
        found += numbers
        try:
            numbers = asking.send({number: tuple(grid[number]) for number in numbers})
        except StopIteration:
            numbers = None
    return found


def shares(method: str, points: int, seeds: int) -> list[float]:
    """The share of the grid's hypervolume of logarithms, up to its worst corner, that each seed's points reach."""
    grid, spec = load_grid(), load_sweep_spec(SPEC)
    logarithms = np.log(grid)
    worst = logarithms.max(axis=0).tolist()
    whole = hypervolume(logarithms, worst)
    return [hypervolume(logarithms[_chosen(method, spec, grid, points, seed)], worst) / whole for seed in range(seeds)]


def _chosen(method: str, spec: SweepSpec, grid: NDArray[np.float64], points: int, seed: int) -> list[int]:
    if method == "random":
        return np.random.default_rng(seed).choice(len(grid), points, replace=False).tolist()
    return searched(spec, grid, Strategy(method, points, seed))
