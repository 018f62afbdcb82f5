"""What each hardware unit is built from, and what each of its counted events costs.

One function a unit. A unit that a design lacks has no area and its events are free. Widths that the design leaves open
are constants here, each with its reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dsasim.config.schema import PREDICTED, ArchConfig, BufferConfig
from dsasim.cost.operations import Price, merged, multiply_accumulate, operation, register
from dsasim.cost.sram import sram
from dsasim.predictors.merge_unit import compare_exchanges

GROWTH_BITS = 8
"""A sum of products of b-bit operands takes 2b + 8 bits: 512 products of at most 2^(2b-2), and a sign."""

PREDICTOR_ACCUMULATOR_BITS = 24
"""The predictor's accumulators also sum XP exactly, up to 65536 values of 8 bits: 24 bits at any predictor.bits."""

ROW_SUM_BITS = 32
"""A row sum of softmax: up to 65536 exponentials of 16 bits."""

KEY_NUMBER_BITS = 16
"""A key's number in an ID queue: sequences up to 65536 keys."""


@dataclass(frozen=True)
class Unit:
    """One unit's silicon and the price list of its events.

    `energy_pj` maps a counter to pJ an event; `leakage_mw` is burnt as long as the run lasts.
    """

    area_mm2: float
    leakage_mw: float
    energy_pj: Mapping[str, float]
    sources: tuple[str, ...] = field(default=())


def absent(*counters: str) -> Unit:
    """A unit the design does not have."""
    return Unit(0.0, 0.0, dict.fromkeys(counters, 0.0), ("not in this design",))


def pe_array(arch: ArchConfig) -> Unit:
    """Lanes x T x W fixed-point MACs of pe_array.bits, each times cost.pe_overhead_ratio (energy, area, leakage).

    A coupled design composes them of narrow multipliers: times cost.composable_overhead_ratio as well.
    """
    bits = arch.pe_array.bits
    pe = _whole_pe(arch, bits, 2 * bits + GROWTH_BITS)
    return Unit(
        area_mm2=arch.macs * pe.area_mm2,
        leakage_mw=arch.macs * pe.leakage_mw,
        energy_pj=dict.fromkeys(("macs_sddmm", "macs_spmm", "macs_dense"), pe.energy_pj),
        sources=(*pe.sources, _overhead(arch)),
    )


def predictor(arch: ArchConfig) -> Unit:
    """An array_rows x array_columns array of MACs of predictor.bits, with the overhead ratios of the PE array.

    The ternary projection XP adds on the accumulators of the same array, so it has energy but no area of its own; in a
    coupled design nothing of the predictor has.
    """
    design, coupled = arch.predictor, arch.pe_array.organisation == "coupled"
    if design.method not in PREDICTED or design.bits is None:
        return absent("macs_predictor", "adds_predictor")
    pe = _whole_pe(arch, design.bits, PREDICTOR_ACCUMULATOR_BITS)
    ternary = operation("add", PREDICTOR_ACCUMULATOR_BITS, arch.technology_nm) * _overhead_ratio(arch)
    num_macs = 0 if coupled else (design.array_rows or 0) * (design.array_columns or 0)
    return Unit(
        area_mm2=num_macs * pe.area_mm2,
        leakage_mw=num_macs * pe.leakage_mw,
        energy_pj={"macs_predictor": pe.energy_pj, "adds_predictor": ternary.energy_pj},
        sources=(*merged(pe.sources, ternary.sources), _overhead(arch)),
    )


def mask_generator(arch: ArchConfig) -> Unit:
    """Selectors of `comparators` lanes, each lane with a register for its S~ value; free where nothing is predicted.

    threshold: a lane is one comparator. top_k by quick-select (three-way): a lane compares for greater and for equal,
    then one of two zero eliminators (greater, smaller) packs the value; the remainders live in the predictor's buffer.
    top_k by a bitonic sorter and merger (`predictors.merge_unit`): a lane is one compare-exchange of scores with their
    key numbers, with registers for both.
    """
    design, bits, node = arch.mask_generator, arch.predictor.bits, arch.technology_nm
    if design is None or bits is None or arch.predictor.method not in PREDICTED:
        return absent("mask_comparisons")
    score_bits = 2 * bits + GROWTH_BITS
    compare, operand = operation("compare", score_bits, node), register(score_bits, node)
    silicon, used = compare + operand, compare + operand
    lanes = design.num_selectors * design.comparators
    if design.selection == "top_k" and design.top_k_unit == "bitonic":
        entry = operand + register(KEY_NUMBER_BITS, node)
        silicon = used = compare + operation("compare", KEY_NUMBER_BITS, node) + entry * 2
        lanes = design.num_selectors * compare_exchanges(design.comparators)
    elif design.selection == "top_k":
        eliminator = operation("zero_eliminator_lane", 12, node) * (score_bits / 12)
        silicon, used = silicon + compare + eliminator * 2, used + compare + eliminator
    return Unit(
        area_mm2=lanes * silicon.area_mm2,
        leakage_mw=lanes * silicon.leakage_mw,
        energy_pj={"mask_comparisons": used.energy_pj},
        sources=(*silicon.sources, f"S~ of {score_bits} bits"),
    )


def scheduler(arch: ArchConfig) -> Unit:
    """Schedulers, each of classifiers, ID queues in registers, and an encoder that finds a queue; none if dense.

    A classifier counts the T mask bits of a key position: T/64 of a 64-bit popcount; there are
    keys_classified_per_cycle. ID queues: 2^T - 1 (one a row subset) when reordered, T (one a row, refilled from the
    mask as it drains) in order, each of id_queue_entries x KEY_NUMBER_BITS, and all twice, since one group is
    classified while another is issued. T = 4, 16 entries, reordered: 2 x 15 x 16 x 16 = 7680 register bits. A
    classified position is one count; an issued key was written to a queue, is read from it, and needs one look through
    the queues, 16 an encoder. What a spilled key costs beyond that is in the mask buffer's bytes.
    """
    if arch.predictor.method == "dense":
        return absent("keys_classified", "keys_issued")
    design, node = arch.scheduler, arch.technology_nm
    num_queues = 2**design.token_parallelism - 1 if design.order == "reordered" else design.token_parallelism
    classify = operation("popcount", 64, node) * (design.token_parallelism / 64)
    key_number = register(KEY_NUMBER_BITS, node)
    find = operation("leading_zeros", 16, node) * -(-num_queues // 16)
    queues = key_number * (2 * num_queues * design.id_queue_entries)
    silicon = classify * design.keys_classified_per_cycle + queues + find
    return Unit(
        area_mm2=design.num_schedulers * silicon.area_mm2,
        leakage_mw=design.num_schedulers * silicon.leakage_mw,
        energy_pj={"keys_classified": classify.energy_pj, "keys_issued": (key_number * 2 + find).energy_pj},
        sources=(
            *silicon.sources,
            f"assumed, two sets of ID queues of {design.id_queue_entries} x {KEY_NUMBER_BITS} bits",
        ),
    )


def softmax(arch: ArchConfig) -> Unit:
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
    return Unit(
        area_mm2=silicon.area_mm2,
        leakage_mw=silicon.leakage_mw,
        energy_pj={
            "softmax_exponentials": (exponential + row_maximum).energy_pj,
            "softmax_divisions": division.energy_pj,
        },
        sources=silicon.sources,
    )


def buffer(arch: ArchConfig, name: str, design: BufferConfig | None) -> Unit:
    """One buffer; `bytes` is its whole capacity, both halves of a double buffer.

    Accesses are counted bytes / port_bytes, so an event here is one byte. Leakage is CACTI's x cost.leakage_ratio.
    """
    read, write = f"{name}_buffer_read_bytes", f"{name}_buffer_write_bytes"
    if design is None:
        return absent(read, write)
    memory = sram(design.bytes, design.banks, design.port_bytes, arch.technology_nm, arch.cost.sram_device)
    return Unit(
        area_mm2=memory.area_mm2,
        leakage_mw=memory.leakage_mw * arch.cost.leakage_ratio,
        energy_pj={read: memory.read_pj / design.port_bytes, write: memory.write_pj / design.port_bytes},
        sources=(*memory.sources, f"leakage x cost.leakage_ratio {arch.cost.leakage_ratio:g}"),
    )


def _whole_pe(arch: ArchConfig, bits: int, accumulator_bits: int) -> Price:
    return multiply_accumulate(bits, accumulator_bits, arch.technology_nm) * _overhead_ratio(arch)


def _overhead_ratio(arch: ArchConfig) -> float:
    """Whole PE over its bare MAC."""
    composed = arch.cost.composable_overhead_ratio if arch.pe_array.organisation == "coupled" else 1.0
    return arch.cost.pe_overhead_ratio * composed


def _overhead(arch: ArchConfig) -> str:
    composed = f" x cost.composable_overhead_ratio {arch.cost.composable_overhead_ratio:g}"
    coupled = arch.pe_array.organisation == "coupled"
    return f"x cost.pe_overhead_ratio {arch.cost.pe_overhead_ratio:g}{composed if coupled else ''}"
