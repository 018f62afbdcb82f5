"""Dense products before and after a layer's attention (rule "Whole layers"): blocks, their order, their jobs."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from itertools import product as every
from typing import Any, NamedTuple

from dsasim.trace.attention import LayerTrace
from twin.array import Systolic, owners, port_stretch
from twin.layout import DoesNotFitError, Runs, Tensor, bursts_of, ceil_div, place, slots_of
from twin.machine import Job, Slots


class Product(NamedTuple):
    """Activations M x K times weights K x N; with a gate two columns make one result."""

    name: str
    rows: int
    inner: int
    columns: int
    sums: int = 1


def phases(batch: Sequence[LayerTrace]) -> tuple[list[list[Product]], list[list[Product]]]:
    """What comes before attention, and after it; each phase needs the results of the one before.

    A causal layer with fewer queries than keys finds its earlier keys in DRAM. Weights meet the rows of all sequences.
    """
    layer, L_q = batch[0], sum(one.L_q for one in batch)
    assert layer.d_ff is not None
    heads, kv, sums = layer.num_heads * layer.d_head, layer.num_kv_heads * layer.d_head, 2 if layer.gated else 1
    new_keys = sum(min(one.L_q, one.L_k) if one.causal else one.L_k for one in batch)
    q = Product("q", L_q, layer.d_model, heads)
    k, v = (Product(name, new_keys, layer.d_model, kv) for name in ("k", "v"))
    after = [
        Product("o", L_q, heads, layer.d_model),
        Product("up", L_q, layer.d_model, sums * layer.d_ff, sums),
        Product("down", L_q, layer.d_ff, layer.d_model),
    ]
    return [[q, k, v]], [[one] for one in after]


class Tiling(NamedTuple):
    """Sizes of blocks, and whether weights stay while activations pass (or the other way round)."""

    rows: int
    inner: int
    columns: int
    weights_stay: bool


class Block(NamedTuple):
    """One block product: (first, size) along M, K and N."""

    rows: tuple[int, int]
    inner: tuple[int, int]
    columns: tuple[int, int]


class DensePhase:
    """Builds the jobs of one phase."""

    def __init__(
        self, arch: Any, layer: LayerTrace, number: int, products: list[Product], access_bytes: int, peak: Fraction
    ) -> None:
        self.arch, self.layer, self.number, self.access_bytes, self.peak = arch, layer, number, access_bytes, peak
        self.name = ", ".join(product.name for product in products)
        self.element = arch.pe_array.bits // 8
        config = arch.pe_array
        self.grid = Systolic(
            config.lanes * arch.scheduler.token_parallelism,
            config.macs_per_row,
            config.stationary,
            config.pipelined_folds,
        )
        names = {"q": "q", "k": "k", "output": "output"}
        self.slots = {name: Slots(slots_of(getattr(arch.buffers, buffer))) for name, buffer in names.items()}
        self.jobs: list[Job] = []
        placed = iter(place(arch, [tensor for product in products for tensor in self._tensors(product)]))
        for product in products:
            self._multiply(product, next(placed), next(placed), next(placed))
        self.sequence = [job for job in self.jobs if job.unit == "pe_array"]

    def _tensors(self, product: Product) -> list[tuple[int, int, int]]:
        """Activations, weights and results; Q, K, V and the heads' outputs as attention has them."""
        layer = self.layer
        into = layer.num_heads if product.name == "o" else 1
        out = {"q": layer.num_heads, "k": layer.num_kv_heads, "v": layer.num_kv_heads}.get(product.name, 1)
        return [
            (into, product.rows, product.inner * self.element // into),
            (1, 1, product.inner * product.columns * self.element),
            (out, product.rows, product.columns // product.sums * self.element // out),
        ]

    def _slot(self, name: str) -> int:
        buffer = getattr(self.arch.buffers, name)
        size: int = buffer.bytes
        return size // slots_of(buffer)

    # ---------------------------------------------------------------------------------------------- blocks
    def _tiling(self, product: Product) -> Tiling:
        """Least array time plus DRAM time at peak, then fewest bytes, then the first."""
        best: tuple[Fraction, int] | None = None
        chosen: Tiling | None = None
        for tiling in self._tilings(product):
            cycles, moved = 0, 0
            for block, new_activations, new_weights, _, ends in self._blocks(product, tiling):
                cycles += self._cycles(block)
                moved += block.rows[1] * block.inner[1] * new_activations
                moved += block.inner[1] * block.columns[1] * new_weights
                moved += block.rows[1] * block.columns[1] // product.sums * ends
            cost = cycles + moved * self.element / self.peak, moved
            if best is None or cost < best:
                best, chosen = cost, tiling
        if chosen is None:
            raise DoesNotFitError(product.name)
        return chosen

    def _tilings(self, product: Product) -> Iterator[Tiling]:
        """Halves and doubles of the array's sides, with as much of the inner dimension as fits."""
        rows_sizes = _sizes(self.grid.rows, product.rows, 1)
        for rows, columns in every(rows_sizes, _sizes(self.grid.columns, product.columns, product.sums)):
            inner = min(self._slot("q") // (rows * self.element), self._slot("k") // (columns * self.element))
            inner = min(inner, product.inner)
            unfinished = inner < product.inner or (self.grid.stationary != "output" and inner > self.grid.rows)
            sum_bytes = ceil_div(2 * self.arch.pe_array.bits + 8, 8)
            results = rows * columns * sum_bytes if unfinished else rows * columns // product.sums * self.element
            if inner and results <= self._slot("output"):
                yield from (Tiling(rows, inner, columns, stay) for stay in (True, False))

    def _blocks(self, product: Product, tiling: Tiling) -> Iterator[tuple[Block, bool, bool, bool, bool]]:
        """Blocks in order: are the activations new, the weights; does it start and end a block of results."""
        rows, inner, columns = (
            [(first, min(size, total - first)) for first in range(0, total, size)]
            for size, total in zip(tiling[:3], product[1:4], strict=True)
        )
        if tiling.weights_stay:
            blocks = [Block(m, k, n) for n in columns for m in rows for k in inner]
        else:
            blocks = [Block(m, k, n) for m in rows for n in columns for k in inner]
        for before, block in pairwise([None, *blocks]):
            assert block is not None
            same_activations = before is not None and before[:2] == block[:2]
            same_weights = before is not None and before[1:] == block[1:]
            starts, ends = block.inner[0] == 0, sum(block.inner) == product.inner
            yield block, not same_activations, not same_weights, starts, ends

    def _cycles(self, block: Block, *, fast_ports: bool = False) -> int:
        """Array time of a block; ports of slow buffers stretch what streams and what is held."""
        across = {"output": (("q", "k"), ()), "weight": (("q",), ("k",)), "input": (("k",), ("q",))}
        streamed, held = across[self.grid.stationary]
        width = {"q": self.grid.rows, "k": self.grid.columns if self.grid.stationary == "output" else self.grid.rows}
        stream = max(self._stretch(name, width[name]) for name in streamed)
        hold = max((self._stretch(name, self.grid.columns) for name in held), default=1)
        if fast_ports:
            stream = hold = 1
        streams = self.grid.streams(block.rows[1], block.inner[1], block.columns[1])
        return self.grid.cycles([length * stream for length in streams], self.grid.rows * hold)

    def _stretch(self, name: str, elements: int) -> int:
        buffer = getattr(self.arch.buffers, name)
        return port_stretch(elements * self.arch.pe_array.bits, buffer.banks, buffer.port_bytes)

    # ------------------------------------------------------------------------------------------------ jobs
    def _multiply(self, product: Product, activations: Tensor, weights: Tensor, results: Tensor) -> None:
        lanes, element = self.arch.pe_array.lanes, self.element
        blocks = list(self._blocks(product, self._tiling(product)))
        for at, (block, new_activations, new_weights, starts, ends) in enumerate(blocks):
            (row, rows), (step, steps), (column, columns) = block
            following = blocks[at + 1] if at + 1 < len(blocks) else None
            if new_activations:
                moved = _stretches(activations, row, rows, step * element, steps * element)
                self.activations = self._move("dma_q", moved, [], slot=self.slots["q"])
            if new_weights:
                start = weights.base + (column * product.inner + step * columns) * element
                moved = [(start, steps * columns * element)]
                self.weights = self._move("dma_k", moved, [], slot=self.slots["k"])
            frees = [self.slots["q"]] if following is None or following[1] else []
            frees += [self.slots["k"]] if following is None or following[2] else []
            cycles = owners(self._cycles(block, fast_ports=True), self._cycles(block))
            job = Job(
                "pe_array",
                self.number,
                [(owner,) * lanes for owner in cycles],
                [self.activations, self.weights],
                slot=self.slots["output"] if starts else None,
                frees=frees,
            )
            self.jobs.append(job)
            if ends:
                first, size = column // product.sums * element, columns // product.sums * element
                moved = _stretches(results, row, rows, first, size)
                self._move("dma_output", moved, [job], frees=[self.slots["output"]], is_write=True)

    def _move(self, unit: str, runs: Runs, needs: list[Job], **others: Any) -> Job:
        bursts = bursts_of(runs, self.access_bytes)
        self.jobs.append(Job(unit, self.number, [], needs, bursts=lambda: bursts, **others))
        return self.jobs[-1]


def _sizes(unit: int, most: int, multiple: int) -> list[int]:
    """The array's side, halved and doubled, and all there are; whole multiples."""
    sizes, halved, doubled = {most}, unit, unit
    while halved > 1:
        halved = ceil_div(halved, 2)
        sizes.add(halved)
    while doubled < most:
        sizes.add(doubled)
        doubled *= 2
    return sorted({min(most, ceil_div(size, multiple) * multiple) for size in sizes})


def _stretches(tensor: Tensor, row: int, rows: int, first: int, size: int) -> Runs:
    """Bytes first .. first + size of some rows, a row being the vectors of all its heads side by side."""
    runs: Runs = []
    here = range(row, row + rows)
    if tensor.interleaved or tensor.heads == 1:
        return [(tensor.address(0, at) + first, size) for at in here]
    for head in range(tensor.heads):
        low = max(first, head * tensor.vector_bytes)
        high = min(first + size, (head + 1) * tensor.vector_bytes)
        if low < high:
            offset = low - head * tensor.vector_bytes
            runs += [(tensor.address(head, at) + offset, high - low) for at in here]
    return runs
