"""Predictor unit: approximate scores of a query tile on a low-precision array, and the projections they need.

Jobs of a layer, in order: the method's operations a layer (such as XP) for each tile of X; then for each kv head
those a kv head (K~ = XP W~k), and for each tile of its query heads those a tile (Q~ = XP W~q, S~ = Q~ K~^T up to the
last key any row of the tile may attend to). Each product is
output-stationary with pipelined folds (`mappings.folds`) on the predictor's array, or in a coupled design on the PE
array (`array_shape`); where the predictor buffer's ports deliver fewer operands than the array consumes, streaming
stretches and the excess is bank conflict.

Worked example: a tile of 64 rows, K = 144 columns, rank 16, span 512, on 64 x 64 PEs with ports to spare:
Q~ takes 144 + 190 = 334 cycles; S~ has 8 folds of 16, each waiting for the 64 rows of the one before to leave, and
takes 7 * 64 + 16 + 190 = 654; the job 988.
"""

from collections.abc import Sequence

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.events import added
from dsasim.designs.dsa.pe_array import overhead, overhead_ratio, whole_pe
from dsasim.designs.dsa.work import Work
from dsasim.errors import ConfigError
from dsasim.machine.spec import Rate, Silicon, absent
from dsasim.mappings.folds import SystolicArray, operand_stretch
from dsasim.methods.operation import Operation
from dsasim.silicon.operations import operation
from dsasim.sim.components import silicon_of


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


def product(
    arch: ArchConfig, rows: int, inner: int, columns: int, row_bits: int, column_bits: int, result_bits: int
) -> Work:
    """One product on the predictor's PEs; the operands are `row_bits` and `column_bits` wide.

    It reads each operand from the buffer once per fold of the other, and writes the result once.
    Worked example, 3 x 5 x 7 on 2 x 4 PEs, 4-bit operands and 8-bit results: 2 row and 2 column folds read rows and
    columns twice, 2 * 15 * 4 + 2 * 35 * 4 = 400 bits, 50 bytes, and write 21.
    """
    buffer = arch.buffers.predictor
    assert buffer is not None
    array_rows, array_columns = array_shape(arch, max(row_bits, column_bits))
    array = SystolicArray(array_rows, array_columns)
    folds = [array.folds(rows, inner, columns)]
    bits_per_cycle = array_rows * row_bits + array_columns * column_bits
    cycles = array.cycles(folds, operand_stretch(bits_per_cycle, buffer))
    row_folds, column_folds = -(-rows // array_rows), -(-columns // array_columns)
    read_bits = column_folds * rows * inner * row_bits + row_folds * inner * columns * column_bits
    traffic = {
        "predictor_buffer_read_bytes": -(-read_bits // 8),
        "predictor_buffer_write_bytes": -(-rows * columns * result_bits // 8),
    }
    return Work(cycles, cycles - array.cycles(folds), traffic)


def operation_work(arch: ArchConfig, operation: Operation, rows: int = 0, span: int = 0) -> Work:
    """One operation of a method; ConfigError for a kind that this unit has no hardware for.

    Additions run on the accumulators of the array, one a PE and cycle. Worked example: 3 x 5 additions of 8-bit values
    into 3 sums of 16 bits on 2 x 4 PEs take ceil(15 / 8) = 2 cycles, read 15 bytes and write 6.
    """
    m, k, n = operation.sizes(rows, span)
    counted = {name: number * m for name, number in operation.counts.items()}
    if operation.kind == "product":
        made = product(arch, m, k, n, operation.left_bits, operation.right_bits, operation.result_bits)
        return made._replace(events=added(made.events, counted or {"macs_predictor": m * k * n}))
    if operation.kind == "add":
        array_rows, array_columns = array_shape(arch, operation.left_bits)
        traffic = {
            "predictor_buffer_read_bytes": -(-m * k * n * operation.left_bits // 8),
            "predictor_buffer_write_bytes": -(-m * n * operation.result_bits // 8),
        }
        cycles = max(1, -(-m * k * n // (array_rows * array_columns)))
        return Work(cycles, events=added(traffic, counted or {"adds_predictor": m * k * n}))
    raise ConfigError(
        f"predictor.method {arch.predictor.method}: its {operation.name} is of kind {operation.kind}, and the predictor"
        " unit of this design does products and additions"
    )


def operations_work(arch: ArchConfig, operations: Sequence[Operation], rows: int = 0, span: int = 0) -> Work:
    """Operations one after the other, called by what the last one makes."""
    works = [operation_work(arch, operation, rows, span) for operation in operations]
    return Work(
        sum(work.cycles for work in works),
        sum(work.conflict for work in works),
        added(*(work.events for work in works)),
        operations[-1].name,
    )


PREDICTOR_ACCUMULATOR_BITS = 24
"""The predictor's accumulators also sum XP exactly, up to 65536 values of 8 bits: 24 bits at any predictor.bits."""


def silicon(arch: ArchConfig) -> Silicon:
    """An array_rows x array_columns array of MACs of predictor.bits, with the overhead ratios of the PE array.

    The ternary projection XP adds on the accumulators of the same array, so it has energy but no area of its own; in a
    coupled design nothing of the predictor has.
    """
    design, coupled = arch.predictor, arch.pe_array.organisation == "coupled"
    if design.free or design.bits is None:
        return absent("macs_predictor", "adds_predictor")
    pe = whole_pe(arch, design.bits, PREDICTOR_ACCUMULATOR_BITS)
    ternary = operation("add", PREDICTOR_ACCUMULATOR_BITS, arch.technology_nm) * overhead_ratio(arch)
    num_macs = 0 if coupled else (design.array_rows or 0) * (design.array_columns or 0)
    return silicon_of(num_macs, pe, {"macs_predictor": pe, "adds_predictor": ternary}, overhead(arch))


def rate(arch: ArchConfig) -> Rate | None:
    """A MAC or an addition of each PE a cycle."""
    if arch.predictor.free or arch.predictor.bits is None:
        return None
    rows, columns = array_shape(arch, arch.predictor.bits)
    return Rate(("macs_predictor", "adds_predictor"), rows * columns)
