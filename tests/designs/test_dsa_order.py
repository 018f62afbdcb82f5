"""The stream of an attention layer: the array's order, whose turn it is on a coupled array, and where spills go."""

from collections.abc import Callable
from itertools import chain

import pytest
from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import work as given
from dsasim.designs.dsa.design import Dsa
from dsasim.designs.dsa.stream import AttentionLayer
from dsasim.designs.dsa.work import (
    ArrayWork,
    Bundle,
    HeadCounts,
    KVHeadWork,
    LayerWork,
    Part,
    SlotCounts,
    Spill,
    TileWork,
)
from dsasim.machine.arbiter import Arbiter
from dsasim.machine.job import Job, Place
from dsasim.machine.system import System
from dsasim.machine.transfer import Transfer

NOTHING = Transfer.run(False, 0, 0)
MakeArch = Callable[..., ArchConfig]


def tile_of(tile: int, spill: Spill | None) -> TileWork:
    job, part = given.Work(1), (Part(ArrayWork(1, (1,) * 4, (0,) * 4)),)
    place = Place(0, heads=(0,), tile=tile)
    return TileWork(place, NOTHING, given.Work(1, does="S~"), job, job, part, job, part, NOTHING, spill, spill)


def layer_of(
    num_inputs: int, num_tiles: int, slots: int = 2, kv_heads: int = 1, spill: Spill | None = None
) -> LayerWork:
    """kv heads of one query head each; a part for each product of a tile."""
    tiles = tuple(tile_of(at, spill) for at in range(num_tiles))
    bundle = Bundle((HeadCounts(0, 1, 1, 1, 1),), tiles)
    heads = tuple(
        KVHeadWork(Place(0, kv_heads=(at,)), (bundle,), NOTHING, NOTHING, NOTHING, given.Work(1))
        for at in range(kv_heads)
    )
    counts = SlotCounts(q=2, k=2, v=2, predictor=2, mask=slots, score=slots, output=2)
    return LayerWork(Place(0), 4, counts, heads, NOTHING, (NOTHING,) * num_inputs, (given.Work(1),) * num_inputs)


@pytest.fixture
def jobs(make_arch: MakeArch) -> Callable[[LayerWork], list[Job]]:
    """The jobs of a layer in the order of the stream."""

    def made(work: LayerWork) -> list[Job]:
        system = System(Environment(), Dsa(make_arch()).units(), {"dram": None})
        return list(AttentionLayer(system, work).stage().jobs)

    return made


def products(jobs: list[Job]) -> str:
    names = {"SDDMM": "S", "SpMM": "P"}
    return " ".join(f"{names[job.does]}{job.place.tile}" for job in jobs if job.unit == "pe_array")


def owners(jobs: list[Job]) -> str:
    return "".join({"predictor": "p", "pe_array": "a"}.get(job.unit, "") for job in jobs)


def test_worked_example(jobs: Callable[[LayerWork], list[Job]]) -> None:
    assert products(jobs(layer_of(2, 3))) == "S0 S1 P0 S2 P1 P2"


def test_without_a_second_slot_each_tile_is_finished_first(jobs: Callable[[LayerWork], list[Job]]) -> None:
    assert products(jobs(layer_of(2, 3, slots=1))) == "S0 P0 S1 P1 S2 P2"


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("num_tiles", range(1, 6))
def test_every_product_once_and_never_more_than_two_tiles_under_way(
    jobs: Callable[[LayerWork], list[Job]], num_tiles: int, slots: int
) -> None:
    order = products(jobs(layer_of(1, num_tiles, slots))).split()
    assert sorted(order) == sorted(f"{product}{tile}" for product in "SP" for tile in range(num_tiles))
    under_way: set[str] = set()
    for product, tile in order:
        under_way ^= {tile}
        assert (product == "S") == (tile in under_way)
        assert len(under_way) <= slots


def test_shared_order_worked_example(jobs: Callable[[LayerWork], list[Job]]) -> None:
    """XP XP K~ A0 A1 S0 A2 S1 P0 S2 P1 P2; with one slot XP XP K~ A0 A1 S0 P0 A2 S1 P1 S2 P2; one tile is alone."""
    assert owners(jobs(layer_of(2, 3))) == "ppppp" + "a" + "p" + "aaaaa"
    assert owners(jobs(layer_of(2, 3, slots=1))) == "ppppp" + "aa" + "p" + "aaaa"
    assert owners(jobs(layer_of(1, 1))) == "ppp" + "aa"


def test_keys_of_the_next_kv_head_come_before_its_first_prediction(jobs: Callable[[LayerWork], list[Job]]) -> None:
    """One tile a kv head: XP K~ A0 K~ A1 S0 S1 P0 P1."""
    assert owners(jobs(layer_of(1, 1, kv_heads=2))) == "ppppp" + "aaaa"


@pytest.mark.parametrize(("previous", "cycles"), [(None, 15), ("predictor", 15), ("pe_array", 20)])
def test_every_change_costs_the_switch_and_the_first_job_of_a_run_none(
    jobs: Callable[[LayerWork], list[Job]], previous: str | None, cycles: int
) -> None:
    """S0, A2 and S1 pay 5 cycles; after another layer's SpMM the first XP does too."""
    arbiter = Arbiter(5)
    if previous is not None:
        arbiter.turn(previous)
    order = [job.unit for job in jobs(layer_of(2, 3)) if job.unit in ("predictor", "pe_array")]
    turns = [(unit, arbiter.turn(unit)) for unit in order]
    paid = {unit: [turn.switch_cycles for at, turn in turns if at == unit] for unit in ("predictor", "pe_array")}
    assert paid["pe_array"] == [5, 5, 0, 0, 0, 0]
    assert paid["predictor"] == [5 if previous == "pe_array" else 0, 0, 0, 0, 0, 5]
    assert sum(map(sum, paid.values())) == cycles


def test_each_turn_waits_for_the_end_of_the_one_before() -> None:
    arbiter = Arbiter(5)
    turns = [arbiter.turn(unit) for unit in ("predictor", "pe_array", "pe_array", "predictor")]
    assert [turn.before for turn in turns] == [None, *(turn.ended for turn in turns[:-1])]


def test_each_way_of_a_spill_starts_when_the_one_before_has_ended(jobs: Callable[[LayerWork], list[Job]]) -> None:
    """S~ goes out and comes back for the mask generator; S for the softmax, and as probabilities for the SpMM."""
    made = jobs(layer_of(1, 1, spill=Spill(Transfer.run(True, 0, 500), Transfer.run(False, 0, 500))))
    by_name = {job.does: job for job in made if job.transfer is None}
    moves = [job for job in made if job.unit in ("dma_predictor", "dma_score") and job.transfer.num_bytes]
    assert [job.transfer.is_write for job in moves] == [True, False] * 3
    path = [by_name["S~"], *moves[:2], by_name["select"]], [by_name["SDDMM"], *moves[2:4], by_name["softmax"]]
    for maker, out, back, reader in (*path, [by_name["softmax"], *moves[4:], by_name["SpMM"]]):
        assert (out.operands, back.operands) == ((maker.makes,), (out.makes,))
        assert back.makes in reader.operands
    plain = chain(jobs(layer_of(1, 1)))
    assert not any(job.unit == "dma_score" for job in plain)
