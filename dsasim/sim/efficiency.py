"""How near a run of dense attention comes to what its MACs and its memory allow."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from dsasim.config.schema import MachineConfig
from dsasim.model.dram_preset import peak_bytes_per_cycle
from dsasim.sim.engine import design_of
from dsasim.trace.attention import AttentionTrace


def dense_efficiency_ratio(
    arch: MachineConfig, trace: AttentionTrace, selection: Mapping[int, Sequence[int]], cycles: int
) -> float:
    """The larger of two bounds over the `cycles` of a run of the heads `selection` (layer number -> query heads).

    Compute bound: of each head all allowed positions, 2 d_head MACs each (Q K^T and P V), over the MACs of the array.
    DRAM bound: Q and output of each head, K and V of each kv head up to the last key that any row may attend to, once
    each, over the memory's peak. No dense machine with these is faster, so the ratio is at most 1.

    Worked example: two heads of one kv head, 8 x 8 positions, d_head 4, 16 bits, 4 x 4 MACs, 51.2 bytes a cycle: 2 x 64
    x 8 / 16 = 64 cycles; (2 x 2 x 8 + 2 x 8) vectors of 8 bytes, 384 / 51.2 = 7.5 cycles; of 100 cycles, 0.64.
    """
    macs, moved = 0, 0
    for number, heads in selection.items():
        layer = trace.layer(number)
        macs += 2 * layer.d_head * len(heads) * int(layer.allowed_counts.sum())
        keys = int(layer.row_spans.max()) * len({layer.kv_head(head) for head in heads})
        moved += 2 * layer.d_head * (layer.L_q * len(heads) + keys)
    array = design_of(arch).macs()
    num_bytes = moved * array.array_bits // 8
    bound = max(Fraction(macs, array.array), num_bytes / peak_bytes_per_cycle(arch))
    return float(bound / cycles)
