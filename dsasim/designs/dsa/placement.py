"""Where each tensor of a layer lies in DRAM (rules: `model.memory_map`)."""

from collections.abc import Mapping
from dataclasses import dataclass

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.tiling import Tiling
from dsasim.model.memory_map import MemoryMap, Region
from dsasim.designs.dsa.predictor import weight_bits
from dsasim.designs.dsa.work import SlotCounts
from dsasim.predictors.base import PredictionWork
from dsasim.predictors.integer_path import INPUT_BITS, TERNARY_BITS
from dsasim.trace.attention import LayerTrace


@dataclass(frozen=True)
class PredictorPlacement:
    """What the predictor unit reads: P with the extra columns, the layer inputs, and W~ of each kv head's group."""

    projection: Region
    inputs: tuple[Region, ...]
    weights: Region


@dataclass(frozen=True)
class Placement:
    """All tensors of a layer."""

    predictor: PredictorPlacement | None
    q: Region
    k: Region
    v: Region
    output: Region
    spills: Mapping[str, Region]
    """Room for the scores beyond each slot of a buffer, by its name."""


def place_layer(
    arch: ArchConfig, layer: LayerTrace, work: PredictionWork | None, slots: SlotCounts, tiling: Tiling
) -> Placement:
    """Give every tensor of the layer its place; ConfigError if the memory is too small."""
    memory = MemoryMap(arch)
    vector_bytes = layer.d_head * arch.pe_array.bits // 8
    return Placement(
        predictor=None if work is None else _place_predictor(memory, layer, work),
        q=memory.place(layer.num_heads, layer.L_q, vector_bytes),
        k=memory.place(layer.num_kv_heads, layer.L_k, vector_bytes),
        v=memory.place(layer.num_kv_heads, layer.L_k, vector_bytes),
        output=memory.place(layer.num_heads, layer.L_q, vector_bytes),
        spills={
            name: memory.place(getattr(slots, name), 1, spilled.spilled_bytes)
            for name, spilled in tiling.spilled.items()
        },
    )


def _place_predictor(memory: MemoryMap, layer: LayerTrace, work: PredictionWork) -> PredictorPlacement:
    """Inputs: X_kv, and X_q where it is another; a kv head's weights are its W~k and the W~q of its query heads."""
    input_rows = [layer.L_k] if layer.self_attention else [layer.L_k, layer.L_q]
    extra_bits = (work.columns - work.k) * work.bits * sum(input_rows)
    weights = weight_bits(work, layer.num_heads // layer.num_kv_heads)
    return PredictorPlacement(
        projection=memory.place(1, 1, -(-(work.d_model * work.k * TERNARY_BITS + extra_bits) // 8)),
        inputs=tuple(memory.place(1, rows, work.d_model * INPUT_BITS // 8) for rows in input_rows),
        weights=memory.place(layer.num_kv_heads, 1, -(-weights // 8)),
    )
