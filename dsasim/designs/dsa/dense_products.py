"""Dense products on the machine: a phase before or after a layer's attention, on the units that attention uses.

The DMA engine q brings blocks of activations into the q buffer, k blocks of weights into the k buffer; the PE array
multiplies them job by job in the order of `mappings.dense_blocks`, and output writes each finished block of results. A
block's slot is freed by the last of the consecutive jobs that read it, a result's by its write. The first job of a
result block reserves its slot. All other units rest.

Worked example (tests/designs/test_dense_products.py): two jobs of 10 cycles share their activations, which arrive at
49; their weights arrive at 57 and 65. They run at 57-67 and 67-77; the first result is on its way to DRAM from 67, the
second from 77.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, pairwise

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.context import ARRAY
from dsasim.machine.job import Events, Job, LaneCycles, Place
from dsasim.machine.space import Take
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer
from dsasim.mappings.dense_blocks import DenseJob, DenseSpace, Tiling, dense_jobs, dense_space, dram_bytes
from dsasim.mappings.dense_layer import Product
from dsasim.model.memory_map import Region
from dsasim.sim.components import dma_job
from dsasim.sim.design import Demand


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
class DensePhase:
    """Products that do not need each other's results, one after the other; `layer`: its number."""

    arch: ArchConfig
    layer: int
    products: tuple[PlacedProduct, ...]

    @property
    def name(self) -> str:
        """Its products'."""
        return ", ".join(placed.product.name for placed in self.products)

    @property
    def demand(self) -> Demand:
        """All products, and their blocks, which are all compulsory."""
        space = dense_space(self.arch)
        return Demand(
            dense_macs=sum(placed.product.macs for placed in self.products),
            num_bytes=sum(dram_bytes(space, placed.product, placed.tiling) for placed in self.products),
        )

    def stage(self, system: System) -> Stage:
        """The phase as one stage; its jobs are made while they are wanted."""
        return Stage(self._jobs(system), (ARRAY, "dma_q", "dma_k", "dma_output"))

    def _jobs(self, system: System) -> Iterator[Job]:
        buffers, space, place = self.arch.buffers, dense_space(self.arch), Place(self.layer, phase=self.name)
        activation_slot, weight_slot, result_slot = (
            Take(system.buffer(f"{name} buffer", getattr(buffers, name).slots)) for name in ("q", "k", "output")
        )
        new = {kind: self._tokens(kind) for kind in ("activations for", "weights for", "results of")}
        activations = weights = Token("nothing")
        for now, then in pairwise(chain(self._blocks(space), [None])):
            assert now is not None
            (placed, job), after = now, None if then is None else then[1]
            if job.activation_bytes:
                activations = next(new["activations for"])
                yield dma_job("q", place, placed.activation_read(job), space=activation_slot, makes=activations)
            if job.weight_bytes:
                weights = next(new["weights for"])
                yield dma_job("k", place, placed.weight_read(job), space=weight_slot, makes=weights)
            results = next(new["results of"]) if job.ends_block else None
            yield Job(
                ARRAY,
                placed.product.name,
                place,
                job.cycles,
                operands=(activations, weights),
                space=result_slot if job.starts_block else None,
                makes=results,
                frees=[
                    *([activation_slot] if after is None or after.activation_bytes else []),
                    *([weight_slot] if after is None or after.weight_bytes else []),
                ],
                lanes=self._lanes(job),
                events=job_events(space, job),
            )
            if results is not None:
                yield dma_job("output", place, placed.result_write(job), operands=(results,), frees=(result_slot,))

    def _blocks(self, space: DenseSpace) -> Iterator[tuple[PlacedProduct, DenseJob]]:
        for placed in self.products:
            for job in dense_jobs(space, placed.product, placed.tiling):
                yield placed, job

    def _tokens(self, kind: str) -> Iterator[Token]:
        """Blocks of a kind, numbered."""
        return (Token(f"block {number} of {kind} {self.name}", Place(self.layer)) for number in count())

    def _lanes(self, job: DenseJob) -> LaneCycles:
        """The job as all lanes see it: they move together."""
        lanes = self.arch.pe_array.lanes
        return LaneCycles((job.cycles - job.conflict_cycles,) * lanes, (job.conflict_cycles,) * lanes)


def job_events(space: DenseSpace, job: DenseJob) -> Events:
    """One job of a dense product: operands read by the array, sums put down and taken up again, results written.

    Worked example: 2 x 3 by 3 x 4 on 2 x 4 PEs of 16 bits, outputs stationary, second of three jobs along the inner
    dimension: 6 and 12 elements read, 8 sums of 5 bytes read and written.
    """
    sums = job.rows.size * job.columns.size
    taken_up = (job.traffic.partial_sums + (0 if job.starts_block else sums)) * space.sum_bytes
    put_down = (job.traffic.partial_sums + (0 if job.ends_block else sums)) * space.sum_bytes
    return {
        "macs_dense": job.macs,
        "q_buffer_read_bytes": job.traffic.left * space.element_bytes,
        "k_buffer_read_bytes": job.traffic.right * space.element_bytes,
        "output_buffer_read_bytes": taken_up,
        "output_buffer_write_bytes": put_down + job.output_bytes,
    }
