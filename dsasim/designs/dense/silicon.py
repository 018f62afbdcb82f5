"""What the units of a dense machine are made of, and what their events cost."""

from dsasim.designs.dense.config import DenseConfig
from dsasim.machine.spec import Rate, Silicon
from dsasim.silicon.operations import Price, multiply_accumulate, operation, register
from dsasim.sim.components import silicon_of

MACS = ("macs_sddmm", "macs_spmm")

WIDEST_MULTIPLIER_BITS = 32
"""Of operations.yaml: wider sums are multiplied by this one."""

EXP_BITS = 12
"""Of the units of e^x and 1 / x, as in the machine dsa."""

ROW_SUM_BITS = 32
"""A row's sum of exponentials of 16 bits, up to 65536 of them."""


def array(config: DenseConfig) -> Silicon:
    """R x C whole PEs (times cost.pe_overhead_ratio), and an adder a column that adds results to the sums so far.

    Where the array can be taken apart, there is a register, assumed to stand for a multiplexer as well, at each column
    of each sub-array but the first, and at each row, for operands that enter there.
    """
    c, node = config.array, config.technology_nm
    pe = multiply_accumulate(c.bits, config.sum_bits, node) * config.cost.pe_overhead_ratio
    adder = operation("add", config.sum_bits, node)
    entries = (c.sub_arrays - 1) * c.columns + (c.rows if c.sub_arrays > 1 else 0)
    whole = pe * config.macs + adder * c.columns + register(c.bits, node) * entries
    return silicon_of(1, whole, dict.fromkeys(MACS, pe) | {"sums_added": adder})


def array_rate(config: DenseConfig) -> Rate:
    """A MAC of each PE a cycle."""
    return Rate(MACS, config.macs)


def softmax(config: DenseConfig) -> Silicon:
    """E lanes of exponentials, and a comparator a column that finds the maxima of scores as they leave the array.

    A lane subtracts the row's maximum, makes e^x and adds it to the row's sum, between two registers.
    """
    bits, node = config.array.bits, config.technology_nm
    compare = operation("compare", bits, node)
    lane = operation("add", bits, node) + operation("exponential", EXP_BITS, node) + register(2 * bits, node)
    lane += operation("add", ROW_SUM_BITS, node)
    whole = lane * config.softmax.exp_per_cycle + compare * config.array.columns
    return silicon_of(1, whole, {"softmax_exponentials": lane, "maxima_compared": compare})


def rescaler(config: DenseConfig) -> Silicon:
    """Lanes of a multiplier, an adder that merges the sums of split keys, and two registers; one unit of 1 / x."""
    bits, node = config.sum_bits, config.technology_nm
    multiply = operation("multiply", min(bits, WIDEST_MULTIPLIER_BITS), node) + register(2 * bits, node)
    add, reciprocal = operation("add", bits, node), operation("reciprocal", EXP_BITS, node)
    whole: Price = (multiply + add) * config.rescaler.sums_per_cycle + reciprocal
    events = {"sums_rescaled": multiply, "sums_merged": add, "row_reciprocals": reciprocal}
    return silicon_of(1, whole, events)
