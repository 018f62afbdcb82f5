"""The query-serial dataflow: its worked example, and random masks against plain loops."""

from collections import Counter
from collections.abc import Callable
from math import ceil

import numpy as np
import pytest
from plugin_files import yaml_of

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.dataflows.base import ArrayWork, Rows, dataflow_of
from dsasim.dataflows.key_blocks import KeyBlocks
from dsasim.errors import ConfigError
from dsasim.masks import KeepMask

SIZES = (
    "pe_array.lanes=2",
    "scheduler.token_parallelism=2",
    "pe_array.macs_per_row=16",
    "buffers.k.banks=4",
    "buffers.k.port_bytes=32",
    "buffers.v.banks=8",
    "buffers.v.port_bytes=64",
)


@pytest.fixture
def arch(by_file: Callable[..., None]) -> ArchConfig:
    by_file("query_serial")
    return load_arch(yaml_of("query_serial"), SIZES)


def rows_of(arch: ArchConfig, keep: np.ndarray, tile_rows: int = 4, d_head: int = 32) -> Rows:
    plan = dataflow_of(arch).plan(arch, KeepMask.from_dense(keep), 2)
    return Rows(plan, np.full(len(keep), keep.shape[1]), tile_rows, tile_rows // 2, d_head)


def products(arch: ArchConfig, rows: Rows, parts: KeyBlocks | None = None) -> tuple[ArrayWork, ArrayWork]:
    return dataflow_of(arch).products(arch, rows, parts, parts)


def test_worked_example(arch: ArchConfig) -> None:
    """Keys 0 1 2 4 5: steps of 4 and 2 cycles and a turn of 1; V has no conflict and is read in a cycle."""
    keep = np.zeros((1, 8), np.bool_)
    keep[0, [0, 1, 2, 4, 5]] = True
    sddmm, spmm = products(arch, rows_of(arch, keep))
    assert sddmm.cycles.tolist() == [7]
    assert (sddmm.busy_cycles.tolist(), sddmm.conflict_cycles.tolist()) == ([[4, 2]], [[2, 2]])
    assert sddmm.vector_reads.tolist() == [5]
    assert (spmm.cycles.tolist(), spmm.conflict_cycles.tolist()) == ([5], [[0, 0]])


def by_hand(keep: np.ndarray, banks: int, vector: int, read: int, turn: int) -> tuple[int, list[int], list[int]]:
    """Cycles of some queries one after the other, and each of two lanes' busy and conflict cycles."""
    cycles, busy, conflict = 0, [0, 0], [0, 0]
    for row in keep:
        keys = np.flatnonzero(row).tolist()
        cycles += turn if keys else 0
        for first in range(0, len(keys), 4):
            step = keys[first : first + 4]
            lasts = max(vector, max(Counter(key % banks for key in step).values()) * read)
            cycles += lasts
            for lane in range(ceil(len(step) / 2)):
                busy[lane] += vector
                conflict[lane] += lasts - vector
    return max(1, cycles), busy, conflict


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_random_masks(arch: ArchConfig, density: float) -> None:
    keep = np.random.default_rng(1).random((11, 37)) < density
    work = products(arch, rows_of(arch, keep))
    for product, banks, read in zip(work, (4, 8), (2, 1), strict=True):
        for at in range(3):
            cycles, busy, conflict = by_hand(keep[4 * at : 4 * at + 4], banks, 2, read, 1)
            assert product.cycles[at] == cycles
            assert product.busy_cycles[at].tolist() == busy
            assert product.conflict_cycles[at].tolist() == conflict
        assert product.vector_reads.sum() == keep.sum()
    plan = rows_of(arch, keep).plan
    assert plan.k_loads == keep.sum()
    assert plan.plan_steps == sum(ceil(count / 4) for count in keep.sum(axis=1))


def test_key_blocks_of_a_tile_take_its_steps_in_turn(arch: ArchConfig) -> None:
    keep = np.random.default_rng(2).random((8, 37)) < 0.5
    rows = rows_of(arch, keep)
    whole, cut = products(arch, rows)[0], products(arch, rows, dataflow_of(arch).key_blocks(rows, 9))[0]
    assert len(cut.cycles) > len(whole.cycles)
    assert cut.cycles.sum() == whole.cycles.sum()
    assert cut.vector_reads.sum() == whole.vector_reads.sum()
    with pytest.raises(ConfigError, match=r"^buffers: a key block of a cache has room for 3 vectors.* loads 4"):
        dataflow_of(arch).key_blocks(rows, 3)


def test_it_needs_the_order_in_which_nothing_is_shared(arch: ArchConfig) -> None:
    with pytest.raises(ConfigError, match=r"pe_array\.dataflow query_serial needs scheduler\.order in_order"):
        load_arch(yaml_of("query_serial"), ["scheduler.order=reordered"])
