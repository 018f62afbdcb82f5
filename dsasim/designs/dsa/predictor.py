"""Predictor unit: approximate scores of a query tile on a low-precision array, and the projections they need.

Jobs of a layer, in order: XP for each tile of X; then for each kv head K~ = XP W~k, and for each tile of its query
heads Q~ = XP W~q followed by S~ = Q~ K~^T up to the last key any row of the tile may attend to. Each product is
output-stationary with pipelined folds (`dataflow.folds`) on the predictor's array, or in a coupled design on the PE
array (`array_shape`); where the predictor buffer's ports deliver fewer operands than the array consumes, streaming
stretches and the excess is bank conflict.

Worked example: a tile of 64 rows, K = 144 columns, rank 16, span 512, on 64 x 64 PEs with ports to spare:
Q~ takes 144 + 190 = 334 cycles; S~ has 8 folds of 16, each waiting for the 64 rows of the one before to leave, and
takes 7 * 64 + 16 + 190 = 654; the job 988.
"""

from math import ceil, log2

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.folds import SystolicArray, operand_stretch
from dsasim.designs.dsa.work import Job
from dsasim.predictors.base import PredictionWork
from dsasim.predictors.integer_path import INPUT_BITS, TERNARY_BITS


def score_bytes(work: PredictionWork) -> int:
    """Bytes of one S~ value: a sum of `rank` products of two `bits`-wide values, in whole bytes.

    Worked example: 4 bits, rank 16: 2 * 4 + log2(16) = 12 bits, 2 bytes.
    """
    return ceil((2 * work.bits + ceil(log2(work.rank))) / 8)


def weight_bits(work: PredictionWork, heads_per_kv_head: int) -> int:
    """Bits of one kv head's weights: its W~k and the W~q of the query heads that share it, columns x rank each.

    Worked example: 144 columns, rank 16, 4 bits and two query heads: 3 * 144 * 16 * 4 = 27 648.
    """
    return (1 + heads_per_kv_head) * work.columns * work.rank * work.bits


def array_shape(arch: ArchConfig, bits: int) -> tuple[int, int]:
    """Rows and columns of PEs for operands of `bits`: the predictor's own array, or the coupled one split up.

    A coupled array composes each of its lanes * T by macs_per_row MACs of pe_array.bits from (pe_array.bits / bits)^2
    multipliers of `bits`, as Bit Fusion does (Sharma et al., ISCA 2018), so both sides grow by pe_array.bits / bits.

    Worked example: 4 lanes of 4 rows by 16 MACs of 16 bits are 64 x 64 PEs of 4 bits and 32 x 32 of 8 bits.
    """
    config, array = arch.predictor, arch.pe_array
    if array.organisation == "decoupled":
        assert config.array_rows is not None and config.array_columns is not None
        return config.array_rows, config.array_columns
    split = array.bits // bits
    return array.lanes * arch.scheduler.token_parallelism * split, array.macs_per_row * split


def product_job(arch: ArchConfig, rows: int, inner: int, columns: int, row_bits: int, column_bits: int) -> Job:
    """Time of one product on the predictor's PEs; the operands are `row_bits` and `column_bits` wide."""
    buffer = arch.buffers.predictor
    assert buffer is not None
    array_rows, array_columns = array_shape(arch, max(row_bits, column_bits))
    array = SystolicArray(array_rows, array_columns)
    folds = [array.folds(rows, inner, columns)]
    bits_per_cycle = array_rows * row_bits + array_columns * column_bits
    cycles = array.cycles(folds, operand_stretch(bits_per_cycle, buffer))
    return Job(cycles, cycles - array.cycles(folds))


def projection_job(arch: ArchConfig, work: PredictionWork, rows: int) -> Job:
    """XP of `rows` rows: additions and subtractions of 8-bit inputs, zeros of P not skipped."""
    return product_job(arch, rows, work.d_model, work.k, INPUT_BITS, TERNARY_BITS)


def key_job(arch: ArchConfig, work: PredictionWork, num_keys: int) -> Job:
    """K~ of a kv head."""
    return product_job(arch, num_keys, work.columns, work.rank, work.bits, work.bits)


def tile_job(arch: ArchConfig, work: PredictionWork, rows: int, span: int) -> Job:
    """Q~ and then S~ of a tile of `rows` rows that may attend to keys 0 .. span - 1."""
    query = product_job(arch, rows, work.columns, work.rank, work.bits, work.bits)
    scores = product_job(arch, rows, work.rank, span, work.bits, work.bits)
    return Job(query.cycles + scores.cycles, query.conflict + scores.conflict)
