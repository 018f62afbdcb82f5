"""Dense products in blocks: the worked example, what fits, and that all jobs together are the product."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.mappings.dense_blocks import (
    DenseSpace,
    Tiling,
    _block_sizes,
    choose_tiling,
    dense_jobs,
    dense_space,
    dram_bytes,
)
from dsasim.mappings.dense_layer import Product
from dsasim.mappings.folds import SystolicArray

PEAK = Fraction(512, 10)


def room_of(grid: SystolicArray, activations: int, weights: int, results: int) -> DenseSpace:
    """Slots in bytes, elements of 16 bits, ports to spare."""
    return DenseSpace(grid, activations, weights, results, 2, 5, 1, 1)


def test_worked_example() -> None:
    room = room_of(SystolicArray(16, 16), 8192, 65536, 8192)
    product = Product("x", 512, 64, 1024)
    tiling = choose_tiling(room, product, PEAK)
    assert tiling == Tiling(16, 64, 256, weights_stay=True)
    jobs = list(dense_jobs(room, product, tiling))
    assert len(jobs) == 128
    assert sum(job.cycles for job in jobs) == 136_960
    reads = [sum(getattr(job, name) for job in jobs) for name in ("activation_bytes", "weight_bytes", "output_bytes")]
    assert reads == [256 << 10, 128 << 10, 1024 << 10]
    assert dram_bytes(room, product, Tiling(16, 64, 256, weights_stay=False)) == (64 + 32 * 128 + 1024) << 10


def test_what_a_slot_holds_to_the_byte() -> None:
    """2 rows of 8 elements, 4 columns of 8 weights: 32 and 64 bytes; 2 x 4 results: 16 bytes, 40 while unfinished."""
    grid, product = SystolicArray(2, 4), Product("x", 2, 8, 4)
    whole, cut = Tiling(2, 8, 4, weights_stay=True), Tiling(2, 4, 4, weights_stay=True)
    assert room_of(grid, 32, 64, 16).fits(product, whole)
    assert not room_of(grid, 31, 64, 16).fits(product, whole)
    assert not room_of(grid, 32, 63, 16).fits(product, whole)
    assert not room_of(grid, 32, 64, 15).fits(product, whole)
    assert room_of(grid, 16, 32, 40).fits(product, cut)
    assert not room_of(grid, 16, 32, 39).fits(product, cut)
    held = SystolicArray(2, 4, "weight")
    assert room_of(held, 32, 64, 40).fits(product, whole)
    assert not room_of(held, 32, 64, 39).fits(product, whole)
    assert room_of(grid, 32, 64, 8).fits(Product("x", 2, 8, 4, sums_per_result=2), whole)


def test_blocks_may_be_smaller_than_the_array_down_to_one_result() -> None:
    grid, product = SystolicArray(2, 4), Product("up", 8, 8, 8, sums_per_result=2)
    assert choose_tiling(room_of(grid, 2, 4, 10), product, PEAK) == Tiling(1, 1, 2, weights_stay=True)
    for slots in ((1, 4, 10), (2, 3, 10), (2, 4, 9)):
        with pytest.raises(ConfigError, match=r"no block of product up; one activation and 2 weights of 2 bytes"):
            choose_tiling(room_of(grid, *slots), product, PEAK)


def test_sizes_of_blocks() -> None:
    """The worked example of `_block_sizes`, and an array that is larger than the product."""
    assert _block_sizes(12, 60, 2) == [2, 4, 6, 12, 24, 48, 60]
    assert _block_sizes(16, 5) == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("stationary", "stretches"), [("output", (4, 1)), ("weight", (2, 4)), ("input", (1, 4))], ids=str
)
def test_ports_of_both_buffers_count(
    make_arch: Callable[..., ArchConfig], stationary: str, stretches: tuple[int, int]
) -> None:
    """8 x 4 PEs of 16 bits: q delivers 4 elements a cycle, or 1 when inputs are held; k 1, or 8.

    Outputs stationary: 8 activations need 2 cycles, 4 weights need 4.
    """
    ports = {"output": (8, 2), "weight": (8, 2), "input": (2, 16)}[stationary]
    arch = make_arch(
        "scheduler.token_parallelism=4",
        "pe_array.lanes=2",
        "pe_array.macs_per_row=4",
        f"pe_array.stationary={stationary}",
        *(f"buffers.{name}.banks=1" for name in "qk"),
        *(f"buffers.{name}.port_bytes={size}" for name, size in zip("qk", ports, strict=True)),
    )
    room = dense_space(arch)
    assert (room.stream_stretch, room.hold_stretch) == stretches
    assert (room.activation_slot, room.weight_slot, room.result_slot) == (8192, 65536, 8192)


SIZES = st.integers(1, 40)


@given(
    st.builds(SystolicArray, st.integers(1, 5), st.integers(1, 5), st.sampled_from(["output", "weight", "input"])),
    st.builds(Product, st.just("x"), SIZES, SIZES, SIZES.map(lambda size: 2 * size), st.sampled_from([1, 2])),
    st.lists(st.integers(50, 2000), min_size=3, max_size=3),
)
def test_jobs_add_up_to_the_product(grid: SystolicArray, product: Product, slots: list[int]) -> None:
    """Blocks, kept while consecutive jobs use them, multiply to the product; nothing is larger than its slot."""
    room = room_of(grid, *slots)
    try:
        tiling = choose_tiling(room, product, PEAK)
    except ConfigError:
        return
    random = np.random.default_rng(0)
    left = random.integers(-9, 9, (product.rows, product.inner))
    right = random.integers(-9, 9, (product.inner, product.columns))
    result = np.zeros((product.rows, product.columns), np.int64)
    loaded: list[object] = [None, None]
    moved, open_block = 0, None
    for job in dense_jobs(room, product, tiling):
        m, k, n = (slice(span.first, span.first + span.size) for span in (job.rows, job.inner, job.columns))
        for at, block in enumerate(((job.rows, job.inner), (job.inner, job.columns))):
            num_bytes = (job.activation_bytes, job.weight_bytes)[at]
            assert num_bytes == (0 if loaded[at] == block else 2 * block[0].size * block[1].size)
            assert num_bytes <= slots[at]
            loaded[at] = block
        assert job.starts_block == (open_block is None)
        assert open_block in (None, (job.rows, job.columns))
        open_block = None if job.ends_block else (job.rows, job.columns)
        result[m, n] += left[m, k] @ right[k, n]
        moved += job.activation_bytes + job.weight_bytes + job.output_bytes
        assert job.conflict_cycles == 0
    assert open_block is None
    assert (result == left @ right).all()
    assert moved == dram_bytes(room, product, tiling)
