"""Key blocks of a plan and their fetches, head after head of a layer."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dsasim.config.schema import ArchConfig
from dsasim.dataflows.key_blocks import VectorCache, fetches, plan_blocks
from dsasim.dataflows.plan import make_plan
from dsasim.dataflows.token_parallel import array_work, vector_timing
from dsasim.masks import KeepMask

ROWS = KeepMask.from_dense(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=np.bool_))
"""Four rows that keep two neighbouring keys each, the last one around the end."""


def test_tiles_of_two_rows_in_a_pool_of_two() -> None:
    """Tiles of rows 0 1 and 2 3 want three keys each: a part a row. Part 1 finds key 1, part 2 key 2, part 3 key 3."""
    parts = plan_blocks(make_plan(ROWS, "in_order", 1), 2, 2)
    assert parts.tile.tolist() == [0, 0, 1, 1]
    assert [parts.keys_of(part).tolist() for part in range(len(parts))] == [[0, 1], [1, 2], [2, 3], [0, 3]]
    found, pool = fetches(VectorCache(2), parts)
    assert [found.keys_of(part).tolist() for part in range(4)] == [[0, 1], [2], [3], [0]]
    assert found.must_have_ended.tolist() == [-1, 0, 1, 2]
    assert (pool.num_blocks, pool.keys.tolist(), pool.stamps.tolist()) == (4, [0, 3], [3, 3])


def test_a_second_query_head_finds_the_keys_of_the_first_and_another_kv_head_does_not() -> None:
    """All four keys fit a pool of six. The next kv head's keys are called 4 .. 7: it must drop two of part 1's."""
    parts = plan_blocks(make_plan(ROWS, "in_order", 1), 4, 6)
    first, pool = fetches(VectorCache(6), parts)
    sibling, pool = fetches(pool, parts)
    other, pool = fetches(pool, replace(parts, keys=parts.keys + 4))
    assert [found.keys_of(0).tolist() for found in (first, sibling, other)] == [[0, 1, 2, 3], [], [4, 5, 6, 7]]
    assert [found.must_have_ended.tolist() for found in (first, sibling, other)] == [[-1], [-1], [1]]
    assert pool.keys.tolist() == [2, 3, 4, 5, 6, 7]


def test_each_part_is_a_job_of_the_array(make_arch: Callable[..., ArchConfig]) -> None:
    """Two lanes of one row take two steps a tile, sharing key 3; cut by row, each part takes two steps of lane 0."""
    arch = make_arch("pe_array.lanes=2", "pe_array.macs_per_row=16", "scheduler.token_parallelism=1")
    plan = make_plan(ROWS, "in_order", 1)
    whole = array_work(arch.pe_array, plan, 2, vector_timing(arch, 16, arch.buffers.k))
    assert whole.busy_cycles.tolist() == [[2, 2], [2, 2]]
    parted = array_work(arch.pe_array, plan, 2, vector_timing(arch, 16, arch.buffers.k), plan_blocks(plan, 2, 2))
    assert parted.busy_cycles.tolist() == [[2, 0]] * 4
    assert (whole.vector_reads.sum(), parted.vector_reads.sum()) == (7, 8)
