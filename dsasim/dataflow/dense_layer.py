"""The dense products of a transformer layer around attention: projections to Q, K, V, output projection, feed-forward.

    q      L_q x d_model        by d_model x num_heads * d_head
    k, v   new keys x d_model   by d_model x num_kv_heads * d_head
    o      L_q x num_heads * d_head by num_heads * d_head x d_model
    up     L_q x d_model        by d_model x d_ff; 2 d_ff columns when gated: a gate and a value make one result
    down   L_q x d_ff           by d_ff x d_model

New keys are the rows of this run that become keys: all L_k, but for a causal layer with fewer queries than keys only
its L_q rows, whose earlier keys and values wait in DRAM (a KV cache). A batch has the rows of all its sequences. Not
products, and not here: norms, residual sums, rotation, the activation function and the product with the gate, which
take place where results leave the array.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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


def before_attention(batch: Sequence[LayerTrace]) -> tuple[Phase, ...]:
    """Phases that end before a layer's attention begins, on all sequences of a batch together."""
    return (_together([projections(layer) for layer in batch]),)


def after_attention(batch: Sequence[LayerTrace]) -> tuple[Phase, ...]:
    """Phases that follow a layer's attention on all sequences, each on the results of the one before."""
    products = [(output_projection(layer), *feed_forward(layer)) for layer in batch]
    return tuple((product,) for product in _together(products))


def _together(of_sequences: Sequence[Phase]) -> Phase:
    """The same products of several sequences as one each: rows below each other, times the same weights."""
    alike = zip(*of_sequences, strict=True)
    return tuple(replace(products[0], rows=sum(product.rows for product in products)) for products in alike)
