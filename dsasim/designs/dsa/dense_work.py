"""Dense products beside a layer's attention: where their tensors lie, and the blocks they are cut into."""

from collections.abc import Iterator
from dataclasses import dataclass

from dsasim.dataflow.dense_blocks import DenseJob, Room, Tiling, dense_jobs
from dsasim.dataflow.dense_layer import Product
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region


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
