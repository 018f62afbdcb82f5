"""Where tensors lie: the worked example, alignment, both layouts, and a memory that is full."""

from collections.abc import Callable
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import MemoryMap, Region


def runs_of(transfer: Transfer) -> list[tuple[int, int]]:
    return list(zip(transfer.starts.tolist(), transfer.sizes.tolist(), strict=True))


def test_worked_example() -> None:
    assert runs_of(Region(0, 3, 8, 128, interleaved=False).transfer(1, 2, 2)) == [(1280, 256)]
    assert runs_of(Region(0, 3, 8, 128, interleaved=True).transfer(1, 2, 2)) == [(896, 128), (1280, 128)]


def test_gathered_vectors_side_by_side_are_one_run() -> None:
    """Rows 2, 3 and 7 of head 0; token-interleaved, 3 heads lie between the vectors of a head."""
    rows = np.array([2, 3, 7])
    assert runs_of(Region(0, 3, 8, 128, interleaved=False).gather(0, rows)) == [(256, 256), (896, 128)]
    interleaved = runs_of(Region(0, 3, 8, 128, interleaved=True).gather(0, rows))
    assert interleaved == [(2 * 384, 128), (3 * 384, 128), (7 * 384, 128)]


def test_a_burst_that_two_runs_share_is_counted_in_the_first() -> None:
    assert Transfer.strided(False, 0, 32, 2, 32).burst_runs(64).tolist() == [[0, 1], [1, 0]]


def bytes_of(transfer: Transfer) -> set[int]:
    return {byte for start, size in runs_of(transfer) for byte in range(start, start + size)}


@given(
    heads=st.integers(1, 4),
    rows=st.integers(1, 9),
    vector=st.integers(1, 9),
    cut=st.integers(1, 9),
    interleaved=st.booleans(),
)
def test_tiles_of_all_heads_cover_the_tensor_once(
    heads: int, rows: int, vector: int, cut: int, interleaved: bool
) -> None:
    region = Region(4096, heads, rows, vector, interleaved)
    tiles = [(head, first, min(cut, rows - first)) for head in range(heads) for first in range(0, rows, cut)]
    covered = [byte for tile in tiles for byte in bytes_of(region.transfer(*tile))]
    assert sorted(covered) == list(range(4096, 4096 + region.num_bytes))


@settings(deadline=None)  # the first call may compile
@given(runs=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 300)), max_size=6))
def test_bursts_are_the_aligned_blocks_touched_in_order_without_immediate_repeats(runs: list[tuple[int, int]]) -> None:
    blocks = [byte // 64 for start, size in runs for byte in range(start, start + size)]
    starts, sizes = np.array(runs, np.int64).reshape(-1, 2).T
    transfer = Transfer(False, starts, sizes)
    walked = [first + at for first, count in transfer.burst_runs(64).tolist() for at in range(count)]
    assert walked == [block for block, _ in groupby(blocks)]
    assert transfer.bursts(64) == len(walked)
    assert transfer.num_bytes == len(blocks)


@pytest.mark.parametrize(
    ("transfer", "bursts"),
    [
        (Transfer.run(False, 0, 0), 0),
        (Transfer.run(False, 0, 64), 1),
        (Transfer.run(False, 0, 65), 2),
        (Transfer.run(False, 63, 2), 2),
        (Transfer.run(False, 63, 1), 1),
        (Transfer.strided(True, 0, 32, 2, 32), 1),  # a block that two runs share moves once
        (Transfer.strided(True, 0, 32, 3, 64), 3),
    ],
)
def test_bursts_at_the_edges_of_a_block(transfer: Transfer, bursts: int) -> None:
    assert transfer.bursts(64) == bursts


def test_tensors_start_at_pages_in_order_of_use(make_arch: Callable[..., ArchConfig]) -> None:
    memory = MemoryMap(make_arch("dram.layout=head_contiguous"))
    assert [memory.place(2, 16, 128).base, memory.place(2, 16, 129).base, memory.place(1, 1, 1).base] == [
        0,
        4096,
        12288,
    ]


def test_one_head_is_contiguous_in_either_layout(make_arch: Callable[..., ArchConfig]) -> None:
    memory = MemoryMap(make_arch("dram.layout=token_interleaved"))
    assert runs_of(memory.place(1, 8, 128).transfer(0, 2, 2)) == [(256, 256)]
    assert len(memory.place(2, 8, 128).transfer(0, 2, 2).starts) == 2


def test_a_full_memory_is_filled_to_the_last_byte_and_not_beyond(make_arch: Callable[..., ArchConfig]) -> None:
    """One channel of DDR4-2400 holds 16 banks x 65536 rows x 8 KiB = 8 GiB."""
    arch = make_arch("dram.channels=1", "dram.preset=DDR4_2400")
    MemoryMap(arch).place(1, 8 << 20, 1024)
    with pytest.raises(ConfigError, match=r"8589938688 bytes of DRAM, dram\.channels hold 8589934592"):
        MemoryMap(arch).place(1, (8 << 20) + 1, 1024)


@pytest.mark.parametrize(
    ("interleaved", "runs"),
    [(False, [(320, 64), (448, 64), (1280, 256)]), (True, [(832, 192), (1216, 192)])],
)
def test_a_stretch_of_rows_worked_example(interleaved: bool, runs: list[tuple[int, int]]) -> None:
    """Bytes 64 to 255 of rows 2 and 3 of 3 heads of 8 rows of 128 bytes."""
    assert runs_of(Region(0, 3, 8, 128, interleaved).block(2, 2, 64, 192)) == runs


@given(
    heads=st.integers(1, 4),
    rows=st.integers(1, 9),
    vector=st.integers(1, 9),
    cuts=st.tuples(st.integers(1, 9), st.integers(1, 30)),
    interleaved=st.booleans(),
)
def test_blocks_cover_the_tensor_once(
    heads: int, rows: int, vector: int, cuts: tuple[int, int], interleaved: bool
) -> None:
    region = Region(4096, heads, rows, vector, interleaved and heads > 1)
    blocks = [
        region.block(row, min(cuts[0], rows - row), byte, min(cuts[1], heads * vector - byte), is_write=True)
        for row in range(0, rows, cuts[0])
        for byte in range(0, heads * vector, cuts[1])
    ]
    assert all(block.is_write for block in blocks)
    assert sum(block.num_bytes for block in blocks) == region.num_bytes
    assert set.union(*map(bytes_of, blocks)) == set(range(4096, 4096 + region.num_bytes))
