"""The stream of an attention layer: the array's order, whose turn it is on a coupled array, and where spills go."""

from collections.abc import Callable

import pytest
from simpy import Environment

from dsasim.api import load_trace
from dsasim.config.loader import load_arch
from dsasim.designs.dsa.design import Dsa
from dsasim.designs.dsa.layer import AttentionLayer
from dsasim.machine.arbiter import Arbiter
from dsasim.machine.job import Job
from dsasim.machine.system import System
from dsasim.sim.design import Record

MakeJobs = Callable[..., list[Job]]
ONE_SLOT = ("buffers.score.double_buffered=false", "buffers.mask.double_buffered=false", "buffers.mask.num_slots=1")
ROOM = tuple(f"buffers.{name}.bytes=1048576" for name in ("q", "predictor", "mask", "score", "output"))


def rows(count: int, inputs: int | None = None) -> tuple[str, ...]:
    """Tiles of so many of the 128 rows (of 64 bytes of Q, in two slots), and of so many inputs, if others."""
    return (*ROOM, f"scheduler.tile_rows={inputs or count}", f"buffers.q.bytes={count * 64 * 2}")


@pytest.fixture
def jobs() -> MakeJobs:
    """The jobs of a layer of 128 tokens in the order of the stream; each query head has a kv head of its own."""

    def made(*overrides: str, heads: tuple[int, ...] = (0,)) -> list[Job]:
        arch, env = load_arch("dsa-decoupled", overrides), Environment()
        system = System(env, Dsa(arch).units(), {"dram": None})
        layer = AttentionLayer(arch, load_trace("minilm-l128").layer(2), heads, system, Record(env))
        return [job for job in layer.stage.jobs if isinstance(job, Job)]

    return made


def products(jobs: list[Job]) -> str:
    names = {"SDDMM": "S", "SpMM": "P"}
    return " ".join(f"{names[job.does]}{job.place.tile}" for job in jobs if job.unit == "pe_array")


def owners(jobs: list[Job]) -> str:
    return "".join({"predictor": "p", "pe_array": "a"}.get(job.unit, "") for job in jobs)


def test_worked_example(jobs: MakeJobs) -> None:
    assert products(jobs(*rows(48))) == "S0 S1 P0 S2 P1 P2"


def test_without_a_second_slot_each_tile_is_finished_first(jobs: MakeJobs) -> None:
    assert products(jobs(*rows(48), *ONE_SLOT)) == "S0 P0 S1 P1 S2 P2"


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize(("tile_rows", "num_tiles"), [(128, 1), (64, 2), (48, 3), (32, 4), (16, 8)])
def test_every_product_once_and_never_more_than_two_tiles_under_way(
    jobs: MakeJobs, tile_rows: int, num_tiles: int, slots: int
) -> None:
    order = products(jobs(*rows(tile_rows), *(ONE_SLOT if slots == 1 else ()))).split()
    assert sorted(order) == sorted(f"{product}{tile}" for product in "SP" for tile in range(num_tiles))
    under_way: set[str] = set()
    for product, tile in order:
        under_way ^= {tile}
        assert (product == "S") == (tile in under_way)
        assert len(under_way) <= slots


def test_shared_order_worked_example(jobs: MakeJobs) -> None:
    """XP XP K~ A0 A1 S0 A2 S1 P0 S2 P1 P2; with one slot XP XP K~ A0 A1 S0 P0 A2 S1 P1 S2 P2; one tile is alone."""
    assert owners(jobs(*rows(48, inputs=64))) == "ppppp" + "a" + "p" + "aaaaa"
    assert owners(jobs(*rows(48, inputs=64), *ONE_SLOT)) == "ppppp" + "aa" + "p" + "aaaa"
    assert owners(jobs(*rows(128))) == "ppp" + "aa"


def test_keys_of_the_next_kv_head_come_before_its_first_prediction(jobs: MakeJobs) -> None:
    """One tile a kv head: XP K~ A0 K~ A1 S0 S1 P0 P1."""
    assert owners(jobs(*rows(128), heads=(0, 1))) == "ppppp" + "aaaa"


def test_whole_heads_are_asked_for_as_far_ahead_as_there_are_slots(jobs: MakeJobs) -> None:
    """Two slots: K and V of three heads before the first tile, then of another with each head."""
    order = [
        f"{job.unit[-1]}{job.place.kv_heads[0]}" if job.unit in ("dma_k", "dma_v") else f"{job.place.heads[0]}"
        for job in jobs(*rows(128), heads=(0, 1, 2, 3, 4))
        if job.unit in ("dma_k", "dma_v", "dma_q")
    ]
    assert " ".join(order) == "k0 v0 k1 v1 k2 v2 0 k3 v3 1 k4 v4 2 3 4"


@pytest.mark.parametrize(("previous", "cycles"), [(None, 15), ("predictor", 15), ("pe_array", 20)])
def test_every_change_costs_the_switch_and_the_first_job_of_a_run_none(
    jobs: MakeJobs, previous: str | None, cycles: int
) -> None:
    """S0, A2 and S1 pay 5 cycles; after another layer's SpMM the first XP does too."""
    arbiter = Arbiter(5)
    if previous is not None:
        arbiter.grant(previous)
    order = [job.unit for job in jobs(*rows(48, inputs=64)) if job.unit in ("predictor", "pe_array")]
    turns = [(unit, arbiter.grant(unit)) for unit in order]
    paid = {unit: [turn.switch_cycles for at, turn in turns if at == unit] for unit in ("predictor", "pe_array")}
    assert paid["pe_array"] == [5, 5, 0, 0, 0, 0]
    assert paid["predictor"] == [5 if previous == "pe_array" else 0, 0, 0, 0, 0, 5]
    assert sum(map(sum, paid.values())) == cycles


def test_each_turn_waits_for_the_end_of_the_one_before() -> None:
    arbiter = Arbiter(5)
    turns = [arbiter.grant(unit) for unit in ("predictor", "pe_array", "pe_array", "predictor")]
    assert [turn.before for turn in turns] == [None, *(turn.ended for turn in turns[:-1])]


SPILLED = ("buffers.score.bytes=64", "buffers.predictor.bytes=19500")


def test_each_way_of_a_spill_starts_when_the_one_before_has_ended(jobs: MakeJobs) -> None:
    """S~ goes out and comes back for the mask generator; S for the softmax, and as probabilities for the SpMM."""
    made = [job for job in jobs(*SPILLED) if job.place.tile == 1 and job.place.heads]
    by_name = {job.does: job for job in made if job.transfer is None}
    moves = [job for job in made if job.unit in ("dma_predictor", "dma_score") and job.transfer.num_bytes]
    assert [job.transfer.is_write for job in moves] == [True, False] * 3
    path = [by_name["S~"], *moves[:2], by_name["select"]], [by_name["SDDMM"], *moves[2:4], by_name["softmax"]]
    for maker, out, back, reader in (*path, [by_name["softmax"], *moves[4:], by_name["SpMM"]]):
        assert (out.operands, back.operands) == ((maker.makes,), (out.makes,))
        assert back.makes in reader.operands
    assert not any(job.unit == "dma_score" for job in jobs(*rows(128)))
