"""What the units count while they work, head by head: operations, and bytes in and out of each buffer.

Bytes follow from the dataflow (a value written once by its maker and read once by each reader):

    q        DMA writes a tile's rows; each row is read once into its lane (a systolic array: `systolic_counters`)
    k, v     DMA writes a head, or the vectors that a pool lacks; read once per vector that the array's steps fetch
    score    SDDMM writes each kept score; softmax reads and writes it twice (exponential, division); SpMM reads it
    mask     written by the mask generator, one bit a position up to the group's span; read by the scheduler, which
             writes a reordered plan over it, and spilled keys, which it reads back; SDDMM and SpMM each read the plan
             (in order: the mask)
    output   SpMM writes each row once; DMA reads it
             (dense products of a layer, `dense_counters`: activations in q, weights in k, results in output)
    predictor
             DMA writes P, X and weights; each product reads its operands and writes its result (`product_bytes`); the
             mask generator reads the scores, and writes and reads what its top-k unit passes over again
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.dense_blocks import DenseJob, Room, sum_bytes
from dsasim.dataflow.plan import Plan, group_spills
from dsasim.dataflow.work import ArrayWork
from dsasim.designs.dsa.predictor import array_shape, score_bytes
from dsasim.designs.dsa.scheduler import key_bits, overflow_entry_bytes, plan_entry_bytes
from dsasim.predictors.base import PredictionWork, Selection
from dsasim.predictors.integer_path import INPUT_BITS, TERNARY_BITS
from dsasim.trace.attention import LayerTrace

OPERATIONS = (
    ("macs_sddmm", "macs_spmm", "macs_dense", "macs_predictor", "adds_predictor", "mask_comparisons")
    + ("keys_classified", "keys_issued", "keys_spilled", "softmax_exponentials", "softmax_divisions")
    + ("k_vector_reads", "v_vector_reads", "idle_row_slots")
)  # fmt: skip
BUFFERS = ("q", "k", "v", "predictor", "mask", "score", "output")
COUNTERS = (*OPERATIONS, *(f"{name}_buffer_{way}_bytes" for name in BUFFERS for way in ("read", "write")))
"""All counters of the units; those of the memory are added by the engine."""


@dataclass(frozen=True)
class Groups:
    """The groups of a head: `rows` [groups] in each, and `spans` [groups], the keys from 0 that each may keep."""

    rows: NDArray[np.int64]
    spans: NDArray[np.int64]

    @property
    def positions(self) -> int:
        """Positions that are scored and selected from."""
        return int((self.rows * self.spans).sum())

    @property
    def mask_bytes(self) -> int:
        """Mask bits of all groups, each row's in whole bytes."""
        return int((self.rows * -(-self.spans // 8)).sum())


def attention_counters(
    arch: ArchConfig, layer: LayerTrace, num_queries: int, nnz: int, sddmm: ArrayWork, spmm: ArrayWork
) -> Counter[str]:
    """SDDMM, softmax and SpMM of `num_queries` rows whose plan serves `nnz` positions."""
    element = arch.pe_array.bits // 8
    vector = layer.d_head * element
    queries = num_queries * vector
    counts = Counter(
        macs_sddmm=nnz * layer.d_head,
        macs_spmm=nnz * layer.d_head,
        softmax_exponentials=nnz,
        softmax_divisions=nnz,
        k_vector_reads=sddmm.vector_reads,
        v_vector_reads=spmm.vector_reads,
        q_buffer_write_bytes=queries,
        q_buffer_read_bytes=queries,
        k_buffer_read_bytes=sddmm.vector_reads * vector,
        v_buffer_read_bytes=spmm.vector_reads * vector,
        score_buffer_write_bytes=3 * nnz * element,
        score_buffer_read_bytes=3 * nnz * element,
        output_buffer_write_bytes=queries,
        output_buffer_read_bytes=queries,
    )
    counts.update(systolic_counters(arch, sddmm, spmm))
    return counts


def systolic_counters(arch: ArchConfig, sddmm: ArrayWork, spmm: ArrayWork) -> Counter[str]:
    """What a systolic array moves besides: Q and P once more for each column fold, and partial sums out and back.

    A partial sum is as wide as the accumulators (`sum_bytes`).
    """
    element, partial = arch.pe_array.bits // 8, sum_bytes(arch)
    scores, outputs = sddmm.partial_sums * partial, spmm.partial_sums * partial
    return Counter(
        q_buffer_read_bytes=sddmm.rereads * element,
        score_buffer_read_bytes=spmm.rereads * element + scores,
        score_buffer_write_bytes=scores,
        output_buffer_read_bytes=outputs,
        output_buffer_write_bytes=outputs,
    )


def dense_counters(room: Room, job: DenseJob) -> Counter[str]:
    """One job of a dense product: blocks filled by DMA, operands read by the array, sums put down and taken up again.

    Worked example: 2 x 3 by 3 x 4 on 2 x 4 PEs of 16 bits, outputs stationary, second of three jobs along the inner
    dimension: 6 and 12 elements read, 8 sums of 5 bytes read and written.
    """
    sums = job.rows.size * job.columns.size
    taken_up = (job.traffic.partial_sums + (0 if job.starts_block else sums)) * room.sum_bytes
    put_down = (job.traffic.partial_sums + (0 if job.ends_block else sums)) * room.sum_bytes
    return Counter(
        macs_dense=job.macs,
        q_buffer_write_bytes=job.activation_bytes,
        q_buffer_read_bytes=job.traffic.left * room.element_bytes,
        k_buffer_write_bytes=job.weight_bytes,
        k_buffer_read_bytes=job.traffic.right * room.element_bytes,
        output_buffer_read_bytes=taken_up + job.output_bytes,
        output_buffer_write_bytes=put_down + job.output_bytes,
    )


def plan_counters(arch: ArchConfig, plan: Plan, groups: Groups, num_keys: int) -> Counter[str]:
    """Scheduler and plan traffic of some groups; in order the mask itself is the plan (`model.scheduler`).

    `num_keys`: L_k, which says how wide a key's number is.
    """
    rows = arch.scheduler.token_parallelism
    served = np.bitwise_count(plan.load_rows).sum()
    spilled = int(group_spills(arch.scheduler, plan).sum())
    spilled_bytes = spilled * overflow_entry_bytes(num_keys)
    written, plan_bytes = 0, groups.mask_bytes
    if arch.scheduler.order == "reordered":
        written = plan_bytes = plan.k_loads * plan_entry_bytes(num_keys, rows)
    return Counter(
        keys_classified=int(groups.spans.sum()),
        keys_issued=plan.k_loads,
        keys_spilled=spilled,
        idle_row_slots=int(plan.plan_steps * rows - served),
        mask_buffer_read_bytes=groups.mask_bytes + 2 * plan_bytes + spilled_bytes,
        mask_buffer_write_bytes=written + spilled_bytes,
    )


def selection_counters(selection: Selection, groups: Groups, score_size: int, num_keys: int) -> Counter[str]:
    """Mask generator of one head: it reads the span's scores, and writes the span's bits.

    What a top-k unit sets aside and reads again (`Selection.entries_read`) is a score and its key number, in whole
    bytes. Worked example: scores of 2 bytes and 512 keys, 16 + 9 bits, make entries of 4 bytes.
    """
    entry_bytes = score_size + -(-key_bits(num_keys) // 8)
    return Counter(
        mask_comparisons=selection.comparisons,
        mask_buffer_write_bytes=groups.mask_bytes,
        predictor_buffer_read_bytes=groups.positions * score_size + selection.entries_read * entry_bytes,
        predictor_buffer_write_bytes=selection.entries_written * entry_bytes,
    )


def projection_counters(arch: ArchConfig, work: PredictionWork, num_rows: int) -> Counter[str]:
    """XP of `num_rows` input rows: an addition for every non-zero of P a row."""
    counts = product_bytes(arch, num_rows, work.d_model, work.k, INPUT_BITS, TERNARY_BITS, work.bits)
    counts["adds_predictor"] = num_rows * work.ternary_adds_per_row
    counts["predictor_buffer_write_bytes"] += num_rows * work.d_model * INPUT_BITS // 8
    return counts


def key_counters(arch: ArchConfig, work: PredictionWork, num_keys: int) -> Counter[str]:
    """K~ of one kv head."""
    counts = product_bytes(arch, num_keys, work.columns, work.rank, work.bits, work.bits, work.bits)
    counts["macs_predictor"] = num_keys * work.columns * work.rank
    return counts


def tile_counters(arch: ArchConfig, work: PredictionWork, rows: int, span: int) -> Counter[str]:
    """Q~ and S~ of one tile."""
    counts = product_bytes(arch, rows, work.columns, work.rank, work.bits, work.bits, work.bits)
    counts += product_bytes(arch, rows, work.rank, span, work.bits, work.bits, 8 * score_bytes(work))
    counts["macs_predictor"] = rows * work.columns * work.rank + rows * work.rank * span
    return counts


def product_bytes(
    arch: ArchConfig, rows: int, inner: int, columns: int, row_bits: int, column_bits: int, result_bits: int
) -> Counter[str]:
    """Predictor-buffer traffic of one product: each operand once per fold of the other, the result once."""
    array_rows, array_columns = array_shape(arch, max(row_bits, column_bits))
    row_folds, column_folds = -(-rows // array_rows), -(-columns // array_columns)
    read_bits = column_folds * rows * inner * row_bits + row_folds * inner * columns * column_bits
    return Counter(
        predictor_buffer_read_bytes=-(-read_bits // 8),
        predictor_buffer_write_bytes=-(-rows * columns * result_bits // 8),
    )
