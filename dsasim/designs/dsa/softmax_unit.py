"""Softmax unit: exponentials and divisions of a tile's kept scores, in place in the score buffer.

The SDDMM before it has found the row maxima. A tile takes pipeline_depth + the sum over its rows of
ceil(n / exp_per_cycle) + ceil(n / div_per_cycle), n being the row's kept scores, and at least one cycle.

Worked example: depth 32, 16 exponentials and 16 divisions a cycle, rows with 16 and 17 kept scores:
32 + (1 + 1) + (2 + 2) = 38 cycles.
"""

from dsasim.config.schema import ArchConfig, SoftmaxConfig
from dsasim.designs.dsa.events import Int64, tile_sums
from dsasim.designs.dsa.work import Work
from dsasim.machine.spec import Silicon
from dsasim.silicon.operations import operation, register
from dsasim.sim.components import silicon_of


def tile_jobs(config: SoftmaxConfig, row_counts: Int64, tile_rows: int, element_bytes: int) -> list[Work]:
    """Tiles of some rows, from the kept scores of each row; each is read and written twice."""
    row_cycles = -(-row_counts // config.exp_per_cycle) - (-row_counts // config.div_per_cycle)
    jobs = []
    for cycles, kept in zip(tile_sums(row_cycles, tile_rows), tile_sums(row_counts, tile_rows), strict=True):
        passed = 2 * kept * element_bytes
        events = {
            "softmax_exponentials": kept,
            "softmax_divisions": kept,
            "score_buffer_read_bytes": passed,
            "score_buffer_write_bytes": passed,
        }
        jobs.append(Work(max(1, config.pipeline_depth_cycles + cycles), 0, events, "softmax"))
    return jobs


ROW_SUM_BITS = 32
"""A row sum of softmax: up to 65536 exponentials of 16 bits."""


def silicon(arch: ArchConfig) -> Silicon:
    """exp_per_cycle exponential lanes, div_per_cycle division lanes, and a row-maximum comparator a PE-array row.

    An exponential: compare with the row maximum, subtract it, e^x, add to the row sum. A division: reciprocal, then
    multiply. Each lane has an operand and a result register of pe_array.bits. e^x and reciprocal are 12-bit units.
    """
    design, bits, node = arch.softmax, arch.pe_array.bits, arch.technology_nm
    row_maximum = operation("compare", bits, node)
    registers = register(2 * bits, node)
    exponential = operation("add", bits, node) + operation("exponential", 12, node) + registers
    exponential += operation("add", ROW_SUM_BITS, node)
    division = operation("reciprocal", 12, node) + operation("multiply", bits, node) + registers
    array_rows = arch.pe_array.lanes * arch.scheduler.token_parallelism
    silicon = exponential * design.exp_per_cycle + division * design.div_per_cycle + row_maximum * array_rows
    uses = {"softmax_exponentials": exponential + row_maximum, "softmax_divisions": division}
    return silicon_of(1, silicon, uses)
