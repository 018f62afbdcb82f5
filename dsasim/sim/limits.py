"""How much a run has to simulate at the very least, known before it starts, and the most that one may.

A few bytes of metadata can claim a feed-forward part, or vectors, that take days to simulate: d_ff, and d_head of a
trace of masks, are not backed by data.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, groupby
from operator import attrgetter

from dsasim.config.schema import ArchConfig, MachineConfig
from dsasim.dataflow.dense_blocks import choose_tiling, dense_room, dram_bytes
from dsasim.dataflow.dense_layer import Product, after_attention, before_attention
from dsasim.errors import TraceError
from dsasim.model.dram_preset import load_presets, peak_bytes_per_cycle
from dsasim.sim.engine import design_of
from dsasim.sim.scope import Scope
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.schema import MAX_POSITIONS

MAX_BURSTS = 1 << 31
"""Of DRAM in one run: 137 GB at 64 bytes.

One takes about 1 µs of CPU time (dense products, dsa-decoupled): half an hour.
A layer of a model of 7 billion parameters at 2,048 tokens takes 0.6 x 10^9 on dsa-decoupled, whose blocks are small.
"""

Term = tuple[int, str]
"""Bursts, and what they are for."""


def check_work(
    arch: MachineConfig, trace: AttentionTrace, selection: Mapping[int, Sequence[int]], scope: Scope
) -> None:
    """TraceError names the largest part of a run that would be more than MAX_BURSTS or MAX_POSITIONS.

    Counted are Q, K, V and output once each, and on the usual machine dense products with every block read again.
    """
    layers = trace.chosen(selection)
    positions = sum(len(heads) * layer.L_q * layer.L_k for layer, heads in layers)
    advice = "choose fewer layers (--layers), or look at what the trace claims"
    if positions > MAX_POSITIONS:
        raise TraceError(
            f"{trace.meta.name}: a run of {positions:,} positions (heads x L_q x L_k), at most {MAX_POSITIONS:,} are"
            f" simulated; {advice}"
        )
    terms = list(_terms(arch, layers, scope))
    bursts, (largest, what) = sum(term[0] for term in terms), max(terms)
    if bursts > MAX_BURSTS:
        raise TraceError(
            f"{trace.meta.name}: a run of at least {bursts:,} DRAM bursts, at most {MAX_BURSTS:,} are simulated;"
            f" {largest:,} of them are for {what}; {advice}"
        )


def _terms(arch: MachineConfig, layers: Iterable[tuple[LayerTrace, Sequence[int]]], scope: Scope) -> Iterator[Term]:
    access_bytes, bits = load_presets()[arch.dram.preset].access_bytes, design_of(arch).macs().array_bits
    for layer, heads in layers:
        kv_heads = {layer.kv_head(head) for head in heads}
        vectors = 2 * (len(heads) * layer.L_q + len(kv_heads) * layer.L_k)
        size = f"{layer.num_heads} heads, L_q {layer.L_q:,}, L_k {layer.L_k:,}, d_head {layer.d_head:,}"
        what = f"layer {layer.label}: Q, K, V and output ({size})"
        yield vectors * layer.d_head * bits // 8 // access_bytes, what
    if scope != "attention" and isinstance(arch, ArchConfig):
        batches = [list(batch) for _, batch in groupby((layer for layer, _ in layers), attrgetter("number"))]
        yield from _dense_terms(arch, batches, access_bytes)


def _dense_terms(arch: ArchConfig, batches: Iterable[Sequence[LayerTrace]], access_bytes: int) -> Iterator[Term]:
    room = dense_room(arch)

    @cache
    def bursts_of(product: Product) -> int:
        tiling = choose_tiling(room, product, peak_bytes_per_cycle(arch))
        return dram_bytes(room, product, tiling) // access_bytes

    for batch in batches:
        for product in chain(*before_attention(batch), *after_attention(batch)):
            shape = f"{product.rows:,} x {product.inner:,} by {product.inner:,} x {product.columns:,}"
            yield bursts_of(product), f"layer {batch[0].number}: product {product.name} ({shape})"
