"""The PE array: what it is made of, and what a whole PE costs. How long it works is the dataflow's affair.

Rules: `dataflows.token_parallel`, `dataflows.systolic`; its order of jobs: `designs.dsa.layer`.
"""

from dsasim.config.schema import ArchConfig
from dsasim.machine.spec import Rate, Silicon
from dsasim.silicon.operations import Price, multiply_accumulate
from dsasim.sim.components import silicon_of

GROWTH_BITS = 8
"""A sum of products of b-bit operands takes 2b + 8 bits: 512 products of at most 2^(2b-2), and a sign."""

MACS = ("macs_sddmm", "macs_spmm", "macs_dense")


def silicon(arch: ArchConfig) -> Silicon:
    """Lanes x T x W fixed-point MACs of pe_array.bits, each times cost.pe_overhead_ratio (energy, area, leakage).

    A coupled design composes them of narrow multipliers: times cost.composable_overhead_ratio as well.
    """
    bits = arch.pe_array.bits
    pe = whole_pe(arch, bits, 2 * bits + GROWTH_BITS)
    return silicon_of(
        arch.macs,
        pe,
        dict.fromkeys(MACS, pe),
        overhead(arch),
        k_vector_reads="in the bytes of the k buffer",
        v_vector_reads="in the bytes of the v buffer",
        idle_row_slots="time, not work",
    )


def rate(arch: ArchConfig) -> Rate:
    """A MAC of each PE a cycle."""
    return Rate(MACS, arch.macs)


def whole_pe(arch: ArchConfig, bits: int, accumulator_bits: int) -> Price:
    """A PE: its bare MAC times all overheads."""
    return multiply_accumulate(bits, accumulator_bits, arch.technology_nm) * overhead_ratio(arch)


def overhead_ratio(arch: ArchConfig) -> float:
    """Whole PE over its bare MAC."""
    composed = arch.cost.composable_overhead_ratio if arch.pe_array.organisation == "coupled" else 1.0
    return arch.cost.pe_overhead_ratio * composed


def overhead(arch: ArchConfig) -> str:
    """How the overheads are told among the sources."""
    composed = f" x cost.composable_overhead_ratio {arch.cost.composable_overhead_ratio:g}"
    coupled = arch.pe_array.organisation == "coupled"
    return f"x cost.pe_overhead_ratio {arch.cost.pe_overhead_ratio:g}{composed if coupled else ''}"
