"""What each search reaches on the shipped space of 2,000 points in 200 runs, and the time it takes to ask."""

from statistics import median

import pytest
from hypervolume import shares

pytestmark = [pytest.mark.benchmark(group="search of 200 of 2,000 points"), pytest.mark.benchmark]


@pytest.mark.parametrize(("method", "seeds"), [("random", 10), ("nsga2", 10), ("tpe", 2)])
def test_share_of_the_grid_s_hypervolume(method: str, seeds: int, benchmark: object, capsys: object) -> None:
    """TPE models all points afresh before each it asks for: minutes a search, where NSGA-II takes a tenth of a second."""
    if method != "random":
        pytest.importorskip("optuna", reason="the extra sweep is not installed")
    found = benchmark.pedantic(shares, (method, 200, seeds), rounds=1)  # type: ignore[attr-defined]
    with capsys.disabled():  # type: ignore[attr-defined]
        print(f"\n{method}: median {median(found):.4f}, {min(found):.4f} to {max(found):.4f} of {seeds} seeds")
