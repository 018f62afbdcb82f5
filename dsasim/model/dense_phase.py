"""Dense products on the machine: a phase before or after a layer's attention, on the units that attention uses.

The DMA engine q brings blocks of activations into the q buffer, k blocks of weights into the k buffer; the PE array
multiplies them job by job in the order of `dataflow.dense_blocks`, and output writes each finished block of results. A
block's slot is freed by the last of the consecutive jobs that read it, a result's by its write. The first job of a
result block reserves its slot. All other units rest.

Worked example (tests/model/test_dense_phase.py): two jobs of 10 cycles share their activations, which arrive at 49;
their weights arrive at 57 and 65. They run at 57-67 and 67-77; the first result is on its way to DRAM from 67, the
second from 77.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise

from simpy import Environment

from dsasim.dataflow.dense_blocks import DenseJob, Room, Tiling, dense_jobs
from dsasim.dataflow.dense_layer import Product
from dsasim.model.dma import DmaJob
from dsasim.model.dram import Transfer
from dsasim.model.memory_map import Region
from dsasim.model.operands import Ready, Slots
from dsasim.model.pe_array import PEArray
from dsasim.model.probe import NO_PROBE, Name, Probe
from dsasim.model.unit import Process
from dsasim.model.work import ArrayJob


@dataclass(frozen=True)
class PlacedProduct:
    """A product, its blocks, and where its tensors lie; weights are stored block after block, as a compiler lays them.

    Activations and results are regions of heads of vectors, a row's vectors side by side being its columns.
    """

    product: Product
    tiling: Tiling
    activations: Region
    weights: Region
    results: Region
    element_bytes: int

    def activation_read(self, job: DenseJob) -> Transfer:
        """The job's block of activations."""
        first, size = job.inner.first * self.element_bytes, job.inner.size * self.element_bytes
        return self.activations.block(job.rows.first, job.rows.size, first, size)

    def weight_read(self, job: DenseJob) -> Transfer:
        """The job's block of weights: column blocks follow each other, within one its inner blocks."""
        before = job.columns.first * self.product.inner + job.inner.first * job.columns.size
        return Transfer.run(False, self.weights.base + before * self.element_bytes, job.weight_bytes)

    def result_write(self, job: DenseJob) -> Transfer:
        """The job's finished block of results."""
        sums = self.product.sums_per_result
        first, size = job.columns.first // sums * self.element_bytes, job.columns.size // sums * self.element_bytes
        return self.results.block(job.rows.first, job.rows.size, first, size, is_write=True)


@dataclass(frozen=True)
class DenseWork:
    """A phase: products that do not need each other's results, one after the other."""

    layer: int
    phase: str
    room: Room
    products: tuple[PlacedProduct, ...]
    lanes: int
    slots: tuple[int, int, int]
    """Slots of the buffers q, k and output."""

    def jobs(self) -> Iterator[tuple[PlacedProduct, DenseJob]]:
        """All jobs in order, made anew each time so that none need be kept."""
        for placed in self.products:
            for job in dense_jobs(self.room, placed.product, placed.tiling):
                yield placed, job

    def transfers(self) -> Iterator[Transfer]:
        """All transfers."""
        for placed, job in self.jobs():
            if job.activation_bytes:
                yield placed.activation_read(job)
            if job.weight_bytes:
                yield placed.weight_read(job)
            if job.ends_block:
                yield placed.result_write(job)


@dataclass
class _Blocks:
    """Blocks under way between two units, numbered in order; made by whichever unit comes first."""

    env: Environment
    name: str
    slots: Slots
    under_way: dict[int, Ready] = field(default_factory=dict)

    def ready(self, number: int) -> Ready:
        """The block's arrival."""
        if number not in self.under_way:
            self.under_way[number] = Ready(self.env, f"block {number} of {self.name}")
        return self.under_way[number]


class DensePhase:
    """A phase in flight."""

    def __init__(self, env: Environment, work: DenseWork, probe: Probe = NO_PROBE) -> None:
        q, k, output = work.slots
        name = f"{work.phase} of layer {work.layer}"
        self.work = work
        self.activations = _Blocks(env, f"activations for {name}", probe.slots(env, "the q buffer", q))
        self.weights = _Blocks(env, f"weights for {name}", probe.slots(env, "the k buffer", k))
        self.results = _Blocks(env, f"results of {name}", probe.slots(env, "the output buffer", output))

    def activation_reads(self) -> Iterator[DmaJob]:
        """What the engine q does."""
        yield from self._reads(self.activations, lambda job: job.activation_bytes, PlacedProduct.activation_read)

    def weight_reads(self) -> Iterator[DmaJob]:
        """What the engine k does."""
        yield from self._reads(self.weights, lambda job: job.weight_bytes, PlacedProduct.weight_read)

    def result_writes(self) -> Iterator[DmaJob]:
        """What the engine output does."""
        ending = ((placed, job) for placed, job in self.work.jobs() if job.ends_block)
        for number, (placed, job) in enumerate(ending):
            ready = self.results.ready(number)
            yield DmaJob(placed.result_write(job), operand=ready, release=self.results.slots)
            self.results.under_way.pop(number)

    def _reads(
        self,
        blocks: _Blocks,
        new_bytes: Callable[[DenseJob], int],
        transfer: Callable[[PlacedProduct, DenseJob], Transfer],
    ) -> Iterator[DmaJob]:
        loading = ((placed, job) for placed, job in self.work.jobs() if new_bytes(job))
        for number, (placed, job) in enumerate(loading):
            yield DmaJob(transfer(placed, job), reserve=blocks.slots, arrived=blocks.ready(number))

    def multiply(self, array: PEArray) -> Process:
        """What the PE array does."""
        activations = weights = -1
        result = 0
        jobs: Iterator[tuple[PlacedProduct, DenseJob] | None] = self.work.jobs()
        for now, then in pairwise(chain(jobs, [None])):
            assert now is not None
            (placed, job), after = now, None if then is None else then[1]
            activations += job.activation_bytes > 0
            weights += job.weight_bytes > 0
            operands = [self.activations.ready(activations), self.weights.ready(weights)]
            yield from array.wait(operands, self.results.slots if job.starts_block else None)
            name = Name(placed.product.name, f"of layer {self.work.layer}")
            yield from array.compute(name, lockstep_job(job, self.work.lanes))
            if after is None or after.activation_bytes:
                _free(self.activations, activations)
            if after is None or after.weight_bytes:
                _free(self.weights, weights)
            if job.ends_block:
                self.results.ready(result).set()
                result += 1


def lockstep_job(job: DenseJob, lanes: int) -> ArrayJob:
    """The job as all lanes see it: they move together."""
    busy = job.cycles - job.conflict_cycles
    return ArrayJob(job.cycles, (busy,) * lanes, (job.conflict_cycles,) * lanes)


def _free(blocks: _Blocks, number: int) -> None:
    """The last reader of a block has ended."""
    blocks.under_way.pop(number)
    blocks.slots.release()
