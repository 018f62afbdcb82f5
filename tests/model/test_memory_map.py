"""Where tensors lie: the worked example, alignment, both layouts, and a memory that is full."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.model.dram import Transfer
from dsasim.model.memory_map import MemoryMap, Region


def test_worked_example() -> None:
    assert Region(0, 3, 8, 128, interleaved=False).transfer(1, 2, 2) == Transfer(False, 1280, 256)
    assert Region(0, 3, 8, 128, interleaved=True).transfer(1, 2, 2) == Transfer(False, 896, 128, 2, 384)


def bytes_of(transfer: Transfer) -> set[int]:
    starts = (transfer.base + segment * transfer.stride_bytes for segment in range(transfer.segments))
    return {byte for start in starts for byte in range(start, start + transfer.segment_bytes)}


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


@given(
    base=st.integers(0, 500),
    size=st.integers(1, 300),
    segments=st.integers(1, 5),
    stride=st.sampled_from([0, 1, 64, 100, 384]),
)
def test_bursts_are_the_aligned_blocks_that_each_segment_touches(
    base: int, size: int, segments: int, stride: int
) -> None:
    touched = [
        len({byte // 64 for byte in range(start, start + size)})
        for start in (base + stride * segment for segment in range(segments))
    ]
    assert Transfer(False, base, size, segments, stride).bursts(64) == sum(touched)


@pytest.mark.parametrize(
    ("transfer", "bursts"),
    [
        (Transfer(False, 0, 0), 0),
        (Transfer(False, 0, 64), 1),
        (Transfer(False, 0, 65), 2),
        (Transfer(False, 63, 2), 2),
        (Transfer(False, 63, 1), 1),
        (Transfer(True, 0, 32, 2, 32), 2),  # a block that two segments share moves twice
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
    assert memory.place(1, 8, 128).transfer(0, 2, 2) == Transfer(False, 256, 256)
    assert memory.place(2, 8, 128).transfer(0, 2, 2).segments == 2


def test_a_full_memory_is_filled_to_the_last_byte_and_not_beyond(make_arch: Callable[..., ArchConfig]) -> None:
    """One channel of DDR4-2400 holds 16 banks x 65536 rows x 8 KiB = 8 GiB."""
    arch = make_arch("dram.channels=1", "dram.preset=DDR4_2400")
    MemoryMap(arch).place(1, 8 << 20, 1024)
    with pytest.raises(ConfigError, match=r"8589938688 bytes of DRAM, dram\.channels hold 8589934592"):
        MemoryMap(arch).place(1, (8 << 20) + 1, 1024)
