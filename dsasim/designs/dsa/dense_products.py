"""Dense products on the machine: a phase before or after a layer's attention, on the units that attention uses.

The DMA engine q brings blocks of activations into the q buffer, k blocks of weights into the k buffer; the PE array
multiplies them job by job in the order of `dataflow.dense_blocks`, and output writes each finished block of results. A
block's slot is freed by the last of the consecutive jobs that read it, a result's by its write. The first job of a
result block reserves its slot. All other units rest.

Worked example (tests/designs/test_dense_products.py): two jobs of 10 cycles share their activations, which arrive at
49; their weights arrive at 57 and 65. They run at 57-67 and 67-77; the first result is on its way to DRAM from 67, the
second from 77.
"""

from collections.abc import Iterator
from itertools import chain, count, pairwise

from dsasim.dataflow.dense_blocks import DenseJob, Room
from dsasim.designs.dsa.dense_work import DenseWork
from dsasim.machine.job import Events, Job, LaneCycles, Place
from dsasim.machine.space import Take
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.sim.parts import dma_job

ARRAY = "pe_array"


def dense_stage(system: System, work: DenseWork) -> Stage:
    """A phase as one stage; its jobs are made while they are wanted."""
    return Stage(_jobs(system, work), (ARRAY, "dma_q", "dma_k", "dma_output"))


def _jobs(system: System, work: DenseWork) -> Iterator[Job]:
    q, k, out = work.slots
    activation_slot = Take(system.buffer("the q buffer", q))
    weight_slot = Take(system.buffer("the k buffer", k))
    result_slot = Take(system.buffer("the output buffer", out))
    place = Place(work.layer, phase=work.phase)
    new = {kind: _tokens(kind, place) for kind in ("activations for", "weights for", "results of")}
    activations = weights = Token("nothing")
    for now, then in pairwise(chain(work.jobs(), [None])):
        assert now is not None
        (placed, job), after = now, None if then is None else then[1]
        if job.activation_bytes:
            activations = next(new["activations for"])
            read = placed.activation_read(job)
            yield dma_job("q", place, read, space=activation_slot, makes=activations)
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
            lanes=lockstep(job, work.lanes),
            events=job_events(work.room, job),
        )
        if results is not None:
            yield dma_job("output", place, placed.result_write(job), operands=(results,), frees=(result_slot,))


def _tokens(kind: str, place: Place) -> Iterator[Token]:
    """Blocks of a kind, numbered."""
    return (Token(f"block {number} of {kind} {place.phase} of layer {place.layer}") for number in count())


def lockstep(job: DenseJob, lanes: int) -> LaneCycles:
    """The job as all lanes see it: they move together."""
    return LaneCycles((job.cycles - job.conflict_cycles,) * lanes, (job.conflict_cycles,) * lanes)


def job_events(room: Room, job: DenseJob) -> Events:
    """One job of a dense product: operands read by the array, sums put down and taken up again, results written.

    Worked example: 2 x 3 by 3 x 4 on 2 x 4 PEs of 16 bits, outputs stationary, second of three jobs along the inner
    dimension: 6 and 12 elements read, 8 sums of 5 bytes read and written.
    """
    sums = job.rows.size * job.columns.size
    taken_up = (job.traffic.partial_sums + (0 if job.starts_block else sums)) * room.sum_bytes
    put_down = (job.traffic.partial_sums + (0 if job.ends_block else sums)) * room.sum_bytes
    return {
        "macs_dense": job.macs,
        "q_buffer_read_bytes": job.traffic.left * room.element_bytes,
        "k_buffer_read_bytes": job.traffic.right * room.element_bytes,
        "output_buffer_read_bytes": taken_up,
        "output_buffer_write_bytes": put_down + job.output_bytes,
    }
