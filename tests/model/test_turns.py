"""The order of SDDMMs and SpMMs on the array."""

import pytest

from dsasim.model.turns import array_order


def words(num_tiles: int, overlapped: bool) -> str:
    return " ".join(f"{product}{tile}" for product, tile in array_order(num_tiles, overlapped))


def test_worked_example() -> None:
    assert words(3, True) == "S0 S1 P0 S2 P1 P2"


def test_without_a_second_slot_each_tile_is_finished_first() -> None:
    assert words(3, False) == "S0 P0 S1 P1 S2 P2"


@pytest.mark.parametrize("overlapped", [True, False])
@pytest.mark.parametrize("num_tiles", range(6))
def test_every_product_once_and_never_more_than_two_tiles_under_way(num_tiles: int, overlapped: bool) -> None:
    order = list(array_order(num_tiles, overlapped))
    assert sorted(order) == sorted((product, tile) for product in "SP" for tile in range(num_tiles))
    under_way: set[int] = set()
    for product, tile in order:
        under_way ^= {tile}
        assert (product == "S") == (tile in under_way)
        assert len(under_way) <= (2 if overlapped else 1)
