"""Which points a strategy asks for."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from dsasim.sweep import strategy
from dsasim.sweep.search import _nearest_new, search
from dsasim.sweep.space import DesignSpace
from dsasim.sweep.spec import Strategy


@pytest.mark.parametrize("seed", range(5))
def test_a_random_sample_has_each_design_once(seed: int, spec: Callable) -> None:
    """Each of 8 designs stands three times among the points; 6 of them are asked for."""
    axes = "{pe_array.lanes: [1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8], predictor.rank: [2, 3]}"
    sampling = spec(axes=axes, strategy=f"{{method: random, points: 6, seed: {seed}}}")
    space = DesignSpace(sampling)
    numbers = next(strategy.start(sampling, space))
    assert len(numbers) == len({space.point(number).key for number in numbers}) == 6


def test_a_step_along_an_axis_goes_both_ways() -> None:
    source, line = random.Random(0), (5,)
    assert {_nearest_new((2,), line, {2}, source)[0] for _ in range(20)} == {1, 3}
    assert _nearest_new((4,), line, {4}, source) == (3,)
    assert _nearest_new((2,), line, {1, 2, 3, 4}, source) == (0,)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_search_goes_the_way_of_its_objective(spec: Callable) -> None:
    """One objective, the place on one axis: what is asked for last is near the end that is wanted."""
    pytest.importorskip("optuna", reason="the extra sweep is not installed")
    asked = {}
    for sense in ("min", "max"):
        searching = spec(
            axes="{pe_array.lanes: {from: 1, to: 200}}", objectives=f"{{cycles: {sense}}}", strategy="grid"
        )
        numbers: list[int] = []
        generations = search(searching, (200,), Strategy("tpe", 60, 1))
        with suppress(StopIteration):
            batch = next(generations)
            while True:
                numbers += batch
                batch = generations.send({number: (1.0 + number,) for number in batch})
        asked[sense] = sum(numbers[-20:]) / 20
    assert asked["min"] < 80 < 120 < asked["max"]
