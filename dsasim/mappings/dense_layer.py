"""The dense products of a transformer layer around attention: projections to Q, K, V, output projection, feed-forward.

    q      L_q x d_model        by d_model x num_heads * d_head
    k, v   new keys x d_model   by d_model x num_kv_heads * d_head
    o      L_q x num_heads * d_head by num_heads * d_head x d_model
    up     L_q x d_model        by d_model x d_ff; 2 d_ff columns when gated: a gate and a value make one result
    down   L_q x d_ff           by d_ff x d_model

New keys are the rows of this run that become keys: all L_k, but for a causal layer with fewer queries than keys only
its L_q rows, whose earlier keys and values wait in DRAM (a KV cache). Not products, and not here: norms, residual sums,
rotation, the activation function and the product with the gate, which take place where results leave the array.
"""

from dataclasses import dataclass

from dsasim.errors import TraceError
from dsasim.trace.attention import LayerTrace


@dataclass(frozen=True)
class Product:
    """Activations rows x inner times weights inner x columns."""

    name: str
    rows: int
    inner: int
    columns: int
    sums_per_result: int = 1
    """Columns that make one result: 2 where a gate multiplies."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.inner * self.columns


Phase = tuple[Product, ...]
"""Products that do not need each other's results."""


def projections(layer: LayerTrace) -> Phase:
    """Q, K and V from the layer's input."""
    new_keys = min(layer.L_q, layer.L_k) if layer.causal else layer.L_k
    kv_columns = layer.num_kv_heads * layer.d_head
    return (
        Product("q", layer.L_q, layer.d_model, layer.num_heads * layer.d_head),
        Product("k", new_keys, layer.d_model, kv_columns),
        Product("v", new_keys, layer.d_model, kv_columns),
    )


def output_projection(layer: LayerTrace) -> Product:
    """The heads' outputs, side by side, back to d_model."""
    return Product("o", layer.L_q, layer.num_heads * layer.d_head, layer.d_model)


def feed_forward(layer: LayerTrace) -> tuple[Product, Product]:
    """Both products of the feed-forward part; TraceError if the trace does not know its size."""
    if layer.d_ff is None or layer.gated is None:
        raise TraceError(
            f"layer {layer.number} of the trace has no d_ff or gated, the size and form of its feed-forward part;"
            " --scope attention needs neither"
        )
    sums = 2 if layer.gated else 1
    return (
        Product("up", layer.L_q, layer.d_model, sums * layer.d_ff, sums),
        Product("down", layer.L_q, layer.d_ff, layer.d_model),
    )


def before_attention(layer: LayerTrace) -> tuple[Phase, ...]:
    """Phases that end before a layer's attention begins."""
    return (projections(layer),)


def after_attention(layer: LayerTrace) -> tuple[Phase, ...]:
    """Phases that follow a layer's attention, each on the results of the one before."""
    up, down = feed_forward(layer)
    return (output_projection(layer),), (up,), (down,)
