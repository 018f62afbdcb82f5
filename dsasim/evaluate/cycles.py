"""What the masks cost on the design: the trace simulated with each method's masks."""

import numpy as np

from dsasim.api import simulate
from dsasim.config.schema import ArchConfig
from dsasim.evaluate.masks import masks_of
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory


def cycles_of(arch: ArchConfig, trace: AttentionTrace, layers: tuple[int, ...], method: str) -> tuple[int, float]:
    """Cycles of the design on the trace's layers, and its speed-up against dense hardware.

    Masks that no method predicts are free of charge: their cycles are a lower bound.
    """
    if method in ("random", "sink_window"):
        held = [_masks_only(arch, layer, method) for number in layers for layer in trace.batch(number)]
        trace = trace_in_memory(trace.meta.name, held, kind="mask")
    result = simulate(arch, trace, layers, quality=False)
    assert result.baseline is not None
    return result.machine.cycles, result.baseline.speedup_vs_dense


def _masks_only(arch: ArchConfig, layer: LayerTrace, method: str) -> MaskArrays:
    keep = np.stack([pack_bits(mask.to_dense()) for mask in masks_of(arch, method)(layer)])
    shape = (layer.L_k, layer.d_head, layer.num_kv_heads, layer.causal)
    return MaskArrays(layer.number, keep, *shape, sequence=layer.sequence)
