"""The order of SDDMMs and SpMMs on the array, and whose turn it is where the predictor shares it."""

import pytest
from simpy import Environment

from dsasim.model.dram import Transfer
from dsasim.model.turns import ARRAY, PREDICTOR, array_order, shared_order, take_turns
from dsasim.model.work import (
    ArrayJob,
    Bundle,
    HeadCounts,
    Job,
    KVHeadWork,
    LayerWork,
    Part,
    SlotCounts,
    TileWork,
)


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


def layer_of(num_inputs: int, num_tiles: int, slots: int = 2) -> LayerWork:
    """One kv head and one query head; a part for each product of a tile."""
    nothing, part = Transfer.run(False, 0, 0), (Part(ArrayJob(1, (), ())),)
    job = Job(1)
    tiles = tuple(TileWork(f"tile {at}", nothing, job, job, job, part, job, part, nothing) for at in range(num_tiles))
    kv_head = KVHeadWork("kv head 0", (Bundle((HeadCounts(0, 1, 1, 1, 1),), tiles),), nothing, nothing, nothing, job)
    counts = SlotCounts(q=2, k=2, v=2, predictor=2, mask=slots, score=slots, output=2)
    return LayerWork(0, 4, counts, (kv_head,), nothing, (nothing,) * num_inputs, (job,) * num_inputs)


def owners(work: LayerWork) -> str:
    return "".join({PREDICTOR: "p", ARRAY: "a"}[owner] for owner in shared_order(work))


def test_shared_order_worked_example() -> None:
    """XP XP K~ A0 A1 S0 A2 S1 P0 S2 P1 P2; with one slot XP XP K~ A0 A1 S0 P0 A2 S1 P1 S2 P2; one tile is alone."""
    assert owners(layer_of(2, 3)) == "ppppp" + "a" + "p" + "aaaaa"
    assert owners(layer_of(2, 3, slots=1)) == "ppppp" + "aa" + "p" + "aaaa"
    assert owners(layer_of(1, 1)) == "ppp" + "aa"


@pytest.mark.parametrize(("previous", "cycles"), [(None, 15), (PREDICTOR, 15), (ARRAY, 20)])
def test_every_change_costs_the_switch_and_the_first_job_of_a_run_none(previous: str | None, cycles: int) -> None:
    """S0, A2 and S1 pay 5 cycles; after another layer's SpMM the first XP does too."""
    order = list(shared_order(layer_of(2, 3)))
    turns = take_turns(Environment(), order, 5, previous)
    paid = {owner: [turn.switch_cycles for turn in own] for owner, own in turns.items()}
    assert paid[ARRAY] == [5, 5, 0, 0, 0, 0]
    assert paid[PREDICTOR] == [5 if previous == ARRAY else 0, 0, 0, 0, 0, 5]
    assert sum(map(sum, paid.values())) == cycles


def test_each_turn_waits_for_the_end_of_the_one_before() -> None:
    turns = take_turns(Environment(), [PREDICTOR, ARRAY, ARRAY, PREDICTOR], 5, None)
    (p0, p1), (a0, a1) = turns[PREDICTOR], turns[ARRAY]
    assert [turn.before for turn in (p0, a0, a1, p1)] == [None, p0.ended, a0.ended, a1.ended]
