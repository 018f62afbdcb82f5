"""The search space whose grid is on file, and how much of the grid's hypervolume a search of it reaches."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsasim.sweep.hypervolume import hypervolume
from dsasim.sweep.search import search
from dsasim.sweep.spec import Strategy, SweepSpec, load_sweep_spec

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "examples" / "sweep_search.yaml"
GRID = ROOT / "tests" / "golden" / "search" / "grid.csv"


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
