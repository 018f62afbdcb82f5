"""What each search reaches on the shipped space of 2,000 points in 200 different runs of ten seeds (issue 6, item 4).

The share of the whole grid's hypervolume, of the objectives' logarithms up to the grid's worst corner; and the time it
takes to ask.
"""

from statistics import median

import pytest
from hypervolume import shares

SEEDS = 10

pytestmark = [pytest.mark.benchmark(group="search of 200 of 2,000 points"), pytest.mark.benchmark]


@pytest.mark.parametrize("method", ["random", "nsga2", "tpe"])
def test_share_of_the_grid_s_hypervolume(method: str, benchmark: object, capsys: object) -> None:
    if method != "random":
        pytest.importorskip("optuna", reason="the extra sweep is not installed")
    found = benchmark.pedantic(shares, (method, 200, SEEDS), rounds=1)  # type: ignore[attr-defined]
    with capsys.disabled():  # type: ignore[attr-defined]
        print(f"\n{method}: median {median(found):.4f}, {min(found):.4f} to {max(found):.4f} of {SEEDS} seeds")
    if method != "random":
        assert median(found) >= 0.97
        assert median(found) > median(shares("random", 200, SEEDS))
