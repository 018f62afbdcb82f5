"""Jobs of a small layer by hand: what each unit does, when, and what is counted.

4 x 4 PEs whole, two heads of a kv head, 6 tokens, causal, d_head 4; tiles of 4 tokens (8 rows) by 4 keys. Steps:

    A   tile 0, keys 0 .. 3    blocks of tokens 0-1 and 2-3 meet 2 and 4 keys
    B   tile 1, keys 0 .. 3    one block of tokens 4-5 meets 4
    C   tile 1, keys 4 .. 5    and 2

    scores        a fold of 4 cycles a block: 8, 4, 4              results leave 10 cycles later
    exponentials  32 + a cycle a row, and one of changes in C: 40, 36, 37
    outputs       a fold of max(keys, 4) cycles a block: 8, 4, 4
    rescale       C: 4 + 4 rows * 4 sums / 4 = 8
    divide        4 + 8 and 4 + 4: 12, 8
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from machine_programs import BytesMemory
from plugin_files import watched
from recorded_program import recorded
from simpy import Environment

from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.design import DenseMachine
from dsasim.errors import ConfigError
from dsasim.machine.job import Job
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.sim.components import DRAM
from dsasim.sim.design import Record, Workload
from dsasim.sim.engine import run_machine
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

Make = Callable[..., DenseConfig]
MakeTrace = Callable[..., AttentionTrace]

MAPPING = ("mapping.query_rows=4", "mapping.keys=4", "mapping.sub_arrays=1", "mapping.key_splits=1")


@pytest.fixture
def layer(make_trace: MakeTrace) -> AttentionTrace:
    return make_trace(2, 1, 6, 6, 4, causal=True)


def test_jobs_and_transfers(small_config: Make, layer: AttentionTrace) -> None:
    jobs, _ = watched(small_config(*MAPPING), layer)
    assert jobs.cycles["pe_array"] == [8, 4, 8, 4, 4, 4]
    assert [job.does for job in jobs.done["pe_array"]] == [
        "scores",
        "scores",
        "outputs",
        "scores",
        "outputs",
        "outputs",
    ]
    assert jobs.cycles["softmax"] == [40, 36, 37]
    assert jobs.cycles["rescaler"] == [12, 8, 8]
    assert [job.does for job in jobs.done["rescaler"]] == ["divide", "rescale", "divide"]
    assert jobs.moved["dma_q"] == jobs.moved["dma_output"] == [64, 32]
    assert jobs.moved["dma_k"] == jobs.moved["dma_v"] == [32, 16]


def test_times_on_a_memory_of_a_byte_a_cycle(small_config: Make, layer: AttentionTrace) -> None:
    """Queries of tile 0 are there at 64, all else before.

    array       S_A 64-72, S_B 72-76, O_A 122-130, S_C 130-134, O_B 158-162, O_C 203-207
    softmax     A 82-122, B 122-158, C 158-195
    rescaler    divide A 140-152, rescale 195-203, divide B 217-225
    output      152-216 and 225-257
    """
    _, run, _ = recorded(DenseMachine(small_config(*MAPPING)), layer)
    assert run.cycles == 257
    assert run.spent["pe_array"] == {"busy": 32, "dram": 64, "operand": 46 + 24 + 41, "drained": 50}
    assert run.spent["softmax"] == {"busy": 113, "operand": 82, "drained": 62}
    assert run.spent["rescaler"] == {"busy": 28, "operand": 140 + 43 + 14, "drained": 32}
    assert run.spent["dma_output"] == {"busy": 96, "operand": 161}


def test_counters(small_config: Make, layer: AttentionTrace) -> None:
    """Positions: blocks of 4 rows meet 2 + 4, 4 and 2 keys, 48; attended are 2 heads x 21."""
    counters = watched(small_config(*MAPPING), layer)[1].counters
    assert counters["macs_sddmm"] == counters["macs_spmm"] == 2 * 21 * 4
    assert counters["maxima_compared"] == 48
    assert counters["softmax_exponentials"] == 42 + 4
    assert counters["sums_added"] == 4 * 4
    assert counters["sums_rescaled"] == 4 * 4 + 12 * 4
    assert counters["sums_merged"] == 0
    assert counters["row_reciprocals"] == 12
    assert counters["q_buffer_write_bytes"] == 96
    assert counters["q_buffer_read_bytes"] == (8 + 4 + 4) * 4 * 2
    assert counters["k_buffer_write_bytes"] == counters["v_buffer_write_bytes"] == 48
    assert counters["k_buffer_read_bytes"] == counters["v_buffer_read_bytes"] == (2 + 4 + 4 + 2) * 4 * 2
    assert counters["score_buffer_write_bytes"] == 2 * 48 * 2
    assert counters["score_buffer_read_bytes"] == 42 * 2 + 48 * 2
    statistics, sums, rescaled, divided = 16 * 8, 16 * 4 * 5, 4 * 4 * 5, 12 * 4 * 5
    assert counters["output_buffer_write_bytes"] == statistics + sums + rescaled + 12 * 4 * 2
    read = 4 * 8 + 4 * 4 * 5 + (rescaled + 4 * 2) + (divided + 12 * 4) + 96
    assert counters["output_buffer_read_bytes"] == read


def test_split_keys_have_sums_of_their_own(small_config: Make, layer: AttentionTrace) -> None:
    """Two sub-arrays of 2 rows, so blocks are tokens; d_head 4 is one fold of 2 keys at a time."""
    split = ("mapping.query_rows=4", "mapping.keys=4", "mapping.sub_arrays=2", "mapping.key_splits=2")
    jobs, result = watched(small_config(*split), layer)
    assert jobs.cycles["pe_array"] == [16, 8, 16, 8, 8, 8]
    assert jobs.cycles["rescaler"] == [4 + 16, 4 + 8, 4 + 8]
    counters = result.counters
    assert counters["sums_merged"] == 12 * 4
    assert counters["sums_rescaled"] == 4 * 8 + 12 * 4
    assert counters["sums_added"] == 4 * 8
    assert counters["macs_sddmm"] == counters["macs_spmm"] == 2 * 21 * 4


@pytest.mark.parametrize(("num_bytes", "fetches"), [(64, [32, 16]), (63, None), (2 * 32 + 31, [32, 16])])
def test_keys_are_read_once_if_they_fit(
    small_config: Make, layer: AttentionTrace, num_bytes: int, fetches: list[int] | None
) -> None:
    """Two tiles of 4 keys of 8 bytes."""
    small = small_config(*MAPPING, f"buffers.k.bytes={num_bytes}", f"buffers.v.bytes={num_bytes}")
    if fetches is None:
        with pytest.raises(ConfigError, match=r"buffers\.k\.bytes is 63, but .* by 4 keys need 2 x 32"):
            watched(small, layer)
    else:
        assert watched(small, layer)[0].moved["dma_k"] == fetches


def test_else_for_each_tile_of_queries(small_config: Make, make_trace: MakeTrace) -> None:
    """Three tiles of 4 keys in room for two: of a causal layer tile 0 of 6 rows wants two, tile 1 three."""
    layer, tiles = make_trace(1, 1, 12, 12, 4, causal=True), ("mapping.query_rows=6", *MAPPING[1:])
    for name, fetches in (("64", [32, 16, 32, 32, 32]), ("96", [32, 32, 32])):
        jobs, _ = watched(small_config(*tiles, f"buffers.k.bytes={name}", f"buffers.v.bytes={name}"), layer)
        assert jobs.moved["dma_k"] == jobs.moved["dma_v"] == fetches


def test_one_slot_of_queries_and_outputs_is_enough(small_config: Make, make_trace: MakeTrace) -> None:
    """Several tiles, kv heads and layers through the least that the buffers may hold."""
    rows = 4 * 2  # of a tile, 4 tokens of 2 heads
    least = {"q": rows * 8, "k": 64, "v": 64, "score": 2 * rows * 4 * 2, "output": rows * (4 * 5 + 8)}
    sizes = [f"buffers.{name}.bytes={size}" for name, size in least.items()]
    _, result = watched(small_config(*MAPPING, *sizes), make_trace(4, 2, 11, 11, 4, causal=True, layers=2))
    assert result.counters["macs_sddmm"] == 2 * 4 * 66 * 4
    for name, size in least.items():
        smaller = small_config(*MAPPING, *sizes, f"buffers.{name}.bytes={size - 1}")
        with pytest.raises(ConfigError, match=rf"buffers\.{name}\.bytes is {size - 1}, but"):
            watched(smaller, make_trace(4, 2, 11, 11, 4))


def test_masked_positions_take_time_but_are_no_macs(small_config: Make, make_trace: MakeTrace) -> None:
    allowed = np.tril(np.ones((6, 6), np.bool_))
    allowed[4, 2] = allowed[5, 0] = False
    whole = watched(small_config(*MAPPING), make_trace(2, 1, 6, 6, 4, causal=True))[1]
    holed = watched(small_config(*MAPPING), make_trace(2, 1, 6, 6, 4, causal=True, allowed=allowed))[1]
    assert holed.cycles == whole.cycles
    assert holed.counters["macs_spmm"] == 2 * 19 * 4
    assert holed.layers[0].heads[0].nnz == holed.layers[0].allowed == 19


def test_heads_share_what_they_share(small_config: Make, layer: AttentionTrace) -> None:
    """12 keys enter the array for both heads, in 3 steps; both end with the last write."""
    result: MachineResult = watched(small_config(*MAPPING), layer)[1]
    first, second = result.layers[0].heads
    assert (first.k_loads, second.k_loads) == (6, 6)
    assert (first.plan_steps, second.plan_steps) == (2, 1)
    assert (first.cycles, second.cycles) == (result.cycles, 0)
    assert result.layers[0].tile_rows == 8


def test_chosen_heads_alone_are_run(small_config: Make, make_trace: MakeTrace) -> None:
    """Of kv heads 0 and 1, two and one query heads: the tile is that of two."""
    trace = make_trace(4, 2, 6, 6, 4, causal=True)
    result = run_machine(small_config(*MAPPING), trace, {0: [0, 1, 3]})
    assert result.counters["macs_sddmm"] == 3 * 21 * 4
    assert result.counters["k_buffer_write_bytes"] == 2 * 48
    assert [head.head for head in result.layers[0].heads] == [0, 1, 3]


class OpenJobs:
    """A watcher that knows how many jobs have been made and have not ended."""

    def __init__(self) -> None:
        self.made = self.ended = self.most = 0

    def noted(self, stages: Iterator[Stage]) -> Iterator[Stage]:
        for stage in stages:
            yield Stage(self._noted_jobs(stage), stage.units)

    def _noted_jobs(self, stage: Stage) -> Iterator[Job]:
        for job in stage.jobs:
            self.made += 1
            self.most = max(self.most, self.made - self.ended)
            yield job

    def job(self, unit: str, *_: object) -> None:
        self.ended += not unit.startswith("dma")

    def transfer(self, *_: object) -> None:
        self.ended += 1

    def nothing(self, *_: object) -> None:
        pass

    begin = idle = taken = bus = nothing


@pytest.mark.parametrize("length", [100, 200])
def test_jobs_are_made_while_they_are_wanted(small_config: Make, make_trace: MakeTrace, length: int) -> None:
    """Those of three tiles of queries are open: the engine of queries is two tiles ahead, and looks for a third."""
    env, jobs, design = Environment(), OpenJobs(), DenseMachine(small_config(*MAPPING))
    system = System(env, design.units(), {DRAM: BytesMemory(env)}, [jobs])
    workload = Workload(make_trace(1, 1, length, length, 4, causal=True), {0: [0]})
    system.run(jobs.noted(design.stages(system, workload, Record(env))))
    steps = length // 4
    assert jobs.ended == jobs.made > 3 * steps * steps
    assert jobs.most < 3 * 7 * steps
