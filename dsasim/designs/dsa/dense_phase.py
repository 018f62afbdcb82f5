"""What a run of a wider scope than attention adds: phases of dense products before and after each layer's attention.

    attention   nothing: Q, K, V and X are in DRAM when a layer starts
    layer       q, k, v before; o, up and down after it, each on the results of the one before
    model       the same, for all layers that the trace holds

Products of a batch are of all its sequences together, their rows below each other: weights are read once for all.

No scope has embeddings, norms, residual sums, rotation, activation functions, the last layer's product with the
vocabulary, or layers of the model that the trace does not hold. A phase starts when the one before has ended, like a
layer, and its tensors are laid out anew.
"""

from collections.abc import Sequence

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.dense_blocks import Room, choose_tiling, dense_room
from dsasim.dataflow.dense_layer import Phase, Product, after_attention, before_attention
from dsasim.designs.dsa.dense_work import DenseWork, PlacedProduct
from dsasim.model.dram_preset import peak_bytes_per_cycle
from dsasim.model.memory_map import MemoryMap, Region
from dsasim.sim.scope import Scope
from dsasim.trace.attention import LayerTrace


def phases_before(arch: ArchConfig, batch: Sequence[LayerTrace], scope: Scope) -> tuple[DenseWork, ...]:
    """Phases before a layer's attention on a batch; ConfigError if a buffer is too small for one fold's operands."""
    return () if scope == "attention" else tuple(_work(arch, batch[0], phase) for phase in before_attention(batch))


def phases_after(arch: ArchConfig, batch: Sequence[LayerTrace], scope: Scope) -> tuple[DenseWork, ...]:
    """Phases after it; TraceError if the trace does not know the size of the feed-forward part."""
    return () if scope == "attention" else tuple(_work(arch, batch[0], phase) for phase in after_attention(batch))


def _work(arch: ArchConfig, layer: LayerTrace, phase: Phase) -> DenseWork:
    room, memory, buffers = dense_room(arch), MemoryMap(arch), arch.buffers
    return DenseWork(
        layer=layer.number,
        phase=", ".join(product.name for product in phase),
        room=room,
        products=tuple(_placed(arch, layer, room, memory, product) for product in phase),
        lanes=arch.pe_array.lanes,
        slots=(buffers.q.slots, buffers.k.slots, buffers.output.slots),
    )


def _placed(arch: ArchConfig, layer: LayerTrace, room: Room, memory: MemoryMap, product: Product) -> PlacedProduct:
    """Lay out a product's tensors: Q, K, V and the heads' outputs as attention has them, all others row by row."""
    element = room.element_bytes
    heads = {"q": layer.num_heads, "k": layer.num_kv_heads, "v": layer.num_kv_heads}.get(product.name, 1)
    inputs = layer.num_heads if product.name == "o" else 1
    return PlacedProduct(
        product=product,
        tiling=choose_tiling(room, product, peak_bytes_per_cycle(arch)),
        activations=_matrix(memory, inputs, product.rows, product.inner * element),
        weights=memory.place(1, 1, product.inner * product.columns * element),
        results=_matrix(memory, heads, product.rows, product.columns // product.sums_per_result * element),
        element_bytes=element,
    )


def _matrix(memory: MemoryMap, heads: int, rows: int, row_bytes: int) -> Region:
    return memory.place(heads, rows, row_bytes // heads)
