"""The front against its definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dsasim.sweep.pareto import pareto_front


def test_worked_example() -> None:
    points = {5: (10, 4), 7: (20, 2), 1: (20, 3), 2: (30, 2)}
    assert pareto_front(points, ("min", "min")) == [5, 7]
    assert pareto_front(points, ("max", "max")) == [2, 1, 5]
    assert pareto_front({}, ("min",)) == []


def test_equal_points_are_all_kept() -> None:
    assert pareto_front({3: (1, 1), 1: (1, 1), 2: (1, 2)}, ("min", "min")) == [1, 3]


def test_points_of_many_blocks() -> None:
    """Each block has points that only those of blocks before it beat, and equal ones across blocks."""
    costs = np.random.default_rng(0).integers(0, 60, (1500, 3))
    points = dict(enumerate(costs.tolist()))
    beaten = ((costs[:, None] >= costs).all(axis=2) & (costs[:, None] > costs).any(axis=2)).any(axis=1)
    found = pareto_front(points, ("min", "min", "min"))
    assert sorted(found) == np.flatnonzero(~beaten).tolist()
    assert found == sorted(found, key=lambda number: (*points[number], number))


@given(st.dictionaries(st.integers(0, 50), st.tuples(*[st.integers(0, 4)] * 3)))
def test_nothing_on_it_is_beaten_and_everything_else_is(points: dict) -> None:
    def beats(a: tuple, b: tuple) -> bool:
        better = (a[0] <= b[0], a[1] >= b[1], a[2] <= b[2])
        return all(better) and a != b

    slow = {number for number, own in points.items() if not any(beats(other, own) for other in points.values())}
    assert set(pareto_front(points, ("min", "max", "min"))) == slow
