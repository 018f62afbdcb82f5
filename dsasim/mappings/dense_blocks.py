"""Dense products in blocks: what fits the buffers, how often DRAM is read for it, and how long the array takes.

A job multiplies a block of activations (in a slot of the q buffer) by a block of weights (in a slot of the k buffer)
into a block of results (in a slot of the output buffer). Where the inner dimension is cut too, the sums of a result
block wait in its slot, as wide as the accumulators, until its last job. One order of loops keeps a block of weights and
lets the activations pass, the other keeps activations; with the inner dimension cut, neither stays.

Of all tilings with blocks of ..., R / 2, R, 2 R, ... rows by ..., C / 2, C, 2 C, ... columns (or all there are) and as
much of the inner dimension as fits, the one with the least sum of array time and DRAM time at peak bandwidth is taken:
a bound on both that prefers few bytes where time is equal.

Worked example, 16 x 16 PEs of 16 bits, outputs stationary, slots of 8 KiB for activations and results and 64 KiB for
weights: 512 x 64 by 64 x 1024. Blocks of 16 x 256 results fill a slot; 32 * 4 jobs of 16 folds of 64 and 46 more cycles
take 136 960. Keeping weights reads these once, 128 KiB, and 64 KiB of activations 4 times, 384 KiB in all, and is
taken; keeping activations would read the weights 32 times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product as every

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.errors import ConfigError
from dsasim.mappings.dense_layer import Product
from dsasim.mappings.folds import SystolicArray, Traffic, operand_stretch, pe_grid


@dataclass(frozen=True)
class Span:
    """`size` rows, columns or inner steps from `first`."""

    first: int
    size: int


@dataclass(frozen=True)
class Tiling:
    """Sizes of blocks, and which operand stays while the other passes (of use where the inner dimension is whole)."""

    rows: int
    inner: int
    columns: int
    weights_stay: bool


@dataclass(frozen=True)
class DenseJob:
    """One block product, in the order of work; bytes of blocks that are still there from the last job are 0."""

    product: str
    rows: Span
    inner: Span
    columns: Span
    cycles: int
    conflict_cycles: int
    traffic: Traffic
    activation_bytes: int
    weight_bytes: int
    starts_block: bool
    """Whether its sums are the block's first."""
    ends_block: bool
    """Whether its sums are the block's last."""
    output_bytes: int
    """Results it completes."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows.size * self.inner.size * self.columns.size


@dataclass(frozen=True)
class DenseSpace:
    """The array and the slots that dense products use."""

    grid: SystolicArray
    activation_slot: int
    weight_slot: int
    result_slot: int
    element_bytes: int
    sum_bytes: int
    stream_stretch: int
    hold_stretch: int

    def cycles(self, rows: int, inner: int, columns: int) -> int:
        """Array time of one job with the buffers' ports."""
        folds = [self.grid.folds(rows, inner, columns)]
        return self.grid.cycles(folds, self.stream_stretch, self.hold_stretch)

    def fits(self, product: Product, tiling: Tiling) -> bool:
        """Whether one block of each kind fits its slot; unfinished sums are wider than results."""
        results = tiling.rows * tiling.columns
        holds_sums = self.grid.stationary != "output" and tiling.inner > self.grid.rows
        if tiling.inner < product.inner or holds_sums:
            result_bytes = results * self.sum_bytes
        else:
            result_bytes = results // product.sums_per_result * self.element_bytes
        return (
            tiling.rows * tiling.inner * self.element_bytes <= self.activation_slot
            and tiling.inner * tiling.columns * self.element_bytes <= self.weight_slot
            and result_bytes <= self.result_slot
        )


def dense_space(arch: ArchConfig) -> DenseSpace:
    """What a design offers dense products.

    Per cycle and PE row or column one element: outputs stationary, R activations and C weights while streaming; weights
    stationary, C weights while they enter and R activations while streaming; inputs stationary the other way round.
    """
    grid, bits, buffers = pe_grid(arch), arch.pe_array.bits, arch.buffers
    streamed, held = {"output": ("qk", ""), "weight": ("q", "k"), "input": ("k", "q")}[grid.stationary]
    streaming = {"q": grid.rows, "k": grid.columns if grid.stationary == "output" else grid.rows}
    return DenseSpace(
        grid=grid,
        activation_slot=_slot(buffers.q),
        weight_slot=_slot(buffers.k),
        result_slot=_slot(buffers.output),
        element_bytes=bits // 8,
        sum_bytes=sum_bytes(arch),
        stream_stretch=max(operand_stretch(streaming[name] * bits, getattr(buffers, name)) for name in streamed),
        hold_stretch=max((operand_stretch(grid.columns * bits, getattr(buffers, name)) for name in held), default=1),
    )


def sum_bytes(arch: ArchConfig) -> int:
    """Bytes of an unfinished sum: 2 * bits + 8 bits as in the accumulators; 5 bytes at 16 bits."""
    return -(-(2 * arch.pe_array.bits + 8) // 8)


def choose_tiling(space: DenseSpace, product: Product, peak_bytes_per_cycle: Fraction) -> Tiling:
    """The tiling with the least array and DRAM time; ConfigError if not even one result's worth fits."""
    candidates = list(_tilings(space, product))
    if not candidates:
        raise ConfigError(
            f"buffers.q, k or output: a slot holds no block of product {product.name}; one activation and"
            f" {product.sums_per_result} weights of {space.element_bytes} bytes and as many sums of {space.sum_bytes}"
            " must fit"
        )
    return min(candidates, key=lambda tiling: _cost(space, product, tiling, peak_bytes_per_cycle))


def dense_jobs(space: DenseSpace, product: Product, tiling: Tiling) -> Iterator[DenseJob]:
    """The jobs of a product in order."""
    before: tuple[Span, Span, Span] | None = None
    timed: dict[tuple[int, int, int], tuple[int, int, Traffic]] = {}
    for rows, columns, inner in _order(product, tiling):
        same_activations = before is not None and (rows, inner) == (before[0], before[2])
        same_weights = before is not None and (columns, inner) == (before[1], before[2])
        ends = inner.first + inner.size == product.inner
        shape = rows.size, inner.size, columns.size
        cycles, ideal, traffic = timed[shape] = timed.get(shape) or _timed(space, shape)
        yield DenseJob(
            product=product.name,
            rows=rows,
            inner=inner,
            columns=columns,
            cycles=cycles,
            conflict_cycles=cycles - ideal,
            traffic=traffic,
            activation_bytes=0 if same_activations else rows.size * inner.size * space.element_bytes,
            weight_bytes=0 if same_weights else inner.size * columns.size * space.element_bytes,
            starts_block=inner.first == 0,
            ends_block=ends,
            output_bytes=rows.size * columns.size // product.sums_per_result * space.element_bytes if ends else 0,
        )
        before = rows, columns, inner


def _timed(space: DenseSpace, shape: tuple[int, int, int]) -> tuple[int, int, Traffic]:
    """Array time with the buffers' ports, without them, and what crosses the array's edges."""
    return space.cycles(*shape), space.grid.cycles([space.grid.folds(*shape)]), space.grid.traffic(*shape)


def dram_bytes(space: DenseSpace, product: Product, tiling: Tiling) -> int:
    """Bytes that a product reads and writes: what `dense_jobs` asks for, in closed form."""
    row_blocks, inner_blocks, column_blocks = (
        -(-product.rows // tiling.rows),
        -(-product.inner // tiling.inner),
        -(-product.columns // tiling.columns),
    )
    activations, weights = product.rows * product.inner, product.inner * product.columns
    if inner_blocks > 1 or tiling.weights_stay:
        activations *= column_blocks if row_blocks * inner_blocks > 1 else 1
    if inner_blocks > 1 or not tiling.weights_stay:
        weights *= row_blocks if column_blocks * inner_blocks > 1 else 1
    results = product.rows * product.columns // product.sums_per_result
    return (activations + weights + results) * space.element_bytes


def _cost(space: DenseSpace, product: Product, tiling: Tiling, peak_bytes_per_cycle: Fraction) -> tuple[Fraction, int]:
    sizes = every(
        _sizes(product.rows, tiling.rows), _sizes(product.inner, tiling.inner), _sizes(product.columns, tiling.columns)
    )
    cycles = sum(m[0] * k[0] * n[0] * space.cycles(m[1], k[1], n[1]) for m, k, n in sizes)
    num_bytes = dram_bytes(space, product, tiling)
    return cycles + num_bytes / peak_bytes_per_cycle, num_bytes


def _tilings(space: DenseSpace, product: Product) -> Iterator[Tiling]:
    """All candidates that fit."""
    row_sizes = _block_sizes(space.grid.rows, product.rows)
    column_sizes = _block_sizes(space.grid.columns, product.columns, product.sums_per_result)
    for rows, columns in every(row_sizes, column_sizes):
        elements = min(space.activation_slot // rows, space.weight_slot // columns) // space.element_bytes
        for weights_stay in (True, False):
            tiling = Tiling(rows, min(elements, product.inner), columns, weights_stay)
            if elements and space.fits(product, tiling):
                yield tiling


def _order(product: Product, tiling: Tiling) -> Iterator[tuple[Span, Span, Span]]:
    """(rows, columns, inner) of all blocks."""
    rows, inner, columns = (
        _spans(product.rows, tiling.rows),
        _spans(product.inner, tiling.inner),
        _spans(product.columns, tiling.columns),
    )
    if tiling.weights_stay:
        yield from ((m, n, k) for n, m, k in every(columns, rows, inner))
    else:
        yield from every(rows, columns, inner)


def _block_sizes(unit: int, most: int, multiple: int = 1) -> list[int]:
    """`unit` halved and doubled as often as can be, rounded up to a multiple, and all there are.

    Worked example: 12 of at most 60, multiples of 2: 2, 4, 6, 12, 24, 48, 60.
    """
    sizes, size = {most}, unit
    while size > 1:
        size = -(-size // 2)
        sizes.add(size)
    while unit < most:
        sizes.add(unit)
        unit *= 2
    return sorted({min(most, -(-size // multiple) * multiple) for size in sizes})


def _spans(total: int, block: int) -> list[Span]:
    return [Span(first, min(block, total - first)) for first in range(0, total, block)]


def _sizes(total: int, block: int) -> list[tuple[int, int]]:
    """(how many, how long) of the blocks that `total` is cut into."""
    return [(count, size) for count, size in ((total // block, block), (1, total % block)) if count and size]


def _slot(buffer: BufferConfig) -> int:
    return buffer.bytes // buffer.slots
