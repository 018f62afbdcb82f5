"""Where each tensor of a layer lies in DRAM (rules: `model.memory_map`)."""

from collections.abc import Mapping
from dataclasses import dataclass

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.tiling import Tiling
from dsasim.methods.operation import Prediction
from dsasim.model.memory_map import MemoryMap, Region
from dsasim.trace.attention import LayerTrace


@dataclass(frozen=True)
class PredictorPlacement:
    """What the predictor unit reads: once a layer (P with the extra columns), the layer inputs (X), and of each kv head
    (W~ of its group); and of every query row of every head. None where the method has no such thing.
    """

    constant: Region | None
    inputs: tuple[Region, ...]
    weights: Region | None
    query_rows: Region | None


@dataclass(frozen=True)
class Placement:
    """All tensors of a layer."""

    predictor: PredictorPlacement | None
    q: Region
    k: Region
    v: Region
    output: Region
    spills: Mapping[str, Region]
    """Space for the scores beyond each slot of a buffer, by its name."""


def place_layer(
    arch: ArchConfig, layer: LayerTrace, work: Prediction | None, slots: Mapping[str, int], tiling: Tiling
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
        spills={name: memory.place(slots[name], 1, spilled.spilled_bytes) for name, spilled in tiling.spilled.items()},
    )


def _place_predictor(memory: MemoryMap, layer: LayerTrace, work: Prediction) -> PredictorPlacement:
    """Each as many bytes as the method says it reads."""
    needs = work.storage
    constant, weights = -(-needs.constant_read_bits // 8), -(-needs.weight_bits // 8)
    return PredictorPlacement(
        constant=memory.place(1, 1, constant) if constant else None,
        inputs=tuple(memory.place(1, rows, needs.input_row_bytes) for rows in needs.input_rows),
        weights=memory.place(layer.num_kv_heads, 1, weights) if weights else None,
        query_rows=memory.place(layer.num_heads, layer.L_q, needs.query_row_bytes) if needs.query_row_bytes else None,
    )
