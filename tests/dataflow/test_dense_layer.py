"""The products of a layer, and the MAC counts of DSA's attention block in closed form."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import pytest

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.dense_layer import (
    after_attention,
    before_attention,
    feed_forward,
    output_projection,
    projections,
)
from dsasim.designs.dsa.predictor import operations_work
from dsasim.errors import TraceError
from dsasim.methods.dsa2021 import prediction_of


@dataclass(frozen=True)
class Shape:
    """What `dense_layer` asks of a layer of a trace."""

    num_heads: int
    num_kv_heads: int
    L_q: int
    L_k: int
    d_head: int
    d_model: int
    causal: bool = False
    d_ff: int | None = None
    gated: bool | None = None
    number: int = 0


SMOLLM2 = Shape(9, 3, 512, 512, 64, 576, causal=True, d_ff=1536, gated=True)


def test_products_of_a_gated_layer_with_shared_keys() -> None:
    """SmolLM2-135M: K and V have 3 heads of 64 for 9 of Q; gate and value are 2 * 1536 columns."""
    sizes = [
        [(p.name, p.rows, p.inner, p.columns) for p in phase]
        for phase in (*before_attention([SMOLLM2]), *after_attention([SMOLLM2]))
    ]
    assert sizes == [
        [("q", 512, 576, 576), ("k", 512, 576, 192), ("v", 512, 576, 192)],
        [("o", 512, 576, 576)],
        [("up", 512, 576, 3072)],
        [("down", 512, 1536, 576)],
    ]
    macs = sum(
        product.macs for phase in (*before_attention([SMOLLM2]), *after_attention([SMOLLM2])) for product in phase
    )
    assert macs == 512 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536)


def test_without_a_gate_a_column_is_a_result() -> None:
    up, down = feed_forward(Shape(12, 12, 128, 128, 32, 384, d_ff=1536, gated=False))
    assert (up.columns, up.sums_per_result, down.inner) == (1536, 1, 1536)


@pytest.mark.parametrize(
    ("L_q", "L_k", "causal", "new_keys"), [(1, 500, True, 1), (7, 500, False, 500), (500, 500, True, 500)]
)
def test_cached_keys_are_not_made_again(L_q: int, L_k: int, causal: bool, new_keys: int) -> None:
    """Decoding makes one key; cross-attention makes all keys of the other sequence."""
    q, k, v = projections(Shape(4, 2, L_q, L_k, 16, 64, causal))
    assert (q.rows, k.rows, v.rows) == (L_q, new_keys, new_keys)


@pytest.mark.parametrize("missing", [{"d_ff": None, "gated": True}, {"d_ff": 8, "gated": None}])
def test_a_feed_forward_part_of_unknown_size_is_refused(missing: dict[str, int | None]) -> None:
    with pytest.raises(TraceError, match=r"layer 5 of the trace has no d_ff or gated.*--scope attention"):
        feed_forward(Shape(1, 1, 4, 4, 8, 8, number=5, **missing))


def block_macs(arch: ArchConfig, length: int, d_model: int) -> tuple[float, float, float]:
    """MACs of projections, dense attention and prediction (sigma 0.25) of all heads of an attention block."""
    heads = 4
    shape = Shape(heads, heads, length, length, d_model // heads, d_model)
    dense = sum(product.macs for product in (*projections(shape), output_projection(shape)))
    k = ceil(d_model / 4)
    of = prediction_of(
        d_model=d_model, k=k, columns=k, rank=k // heads, bits=4, ternary_adds=0,
        num_keys=length, input_rows=(length,), heads_per_kv_head=1,
    )  # fmt: skip
    per_head = (*of.of("kv_head"), *of.of("query_tile"))
    head_macs = operations_work(arch, per_head, length, length).events["macs_predictor"]
    prediction = length * d_model * k + heads * head_macs
    return dense, 2 * length * length * d_model, prediction


@pytest.mark.parametrize(
    ("length", "d_model", "ratio"), [(1024, 128, 2.787), (2048, 256, 2.787), (4000, 128, 4.343), (4096, 128, 4.366)]
)
def test_macs_saved_in_the_attention_block_of_dsa_95(
    make_arch: Callable[..., ArchConfig], length: int, d_model: int, ratio: float
) -> None:
    """4 L d^2 + 2 L^2 d against 4 L d^2 + 2 * 0.05 L^2 d + L d k + 2 L k^2 + L^2 k (DSA paper)."""
    dense, attention, prediction = block_macs(make_arch(), length, d_model)
    k = d_model // 4
    assert dense == 4 * length * d_model**2
    assert prediction == length * d_model * k + 2 * length * k * k + length**2 * k
    assert round((dense + attention) / (dense + 0.05 * attention + prediction), 3) == ratio


@pytest.mark.parametrize(("weight", "ratio"), [(1, 1.05), (1 / 16, 1.17)])
def test_short_sequences_save_next_to_nothing(
    make_arch: Callable[..., ArchConfig], weight: float, ratio: float
) -> None:
    """SQuAD, L = 384, d = 1024: whether an INT4 MAC of the predictor counts as a whole one or as a sixteenth."""
    dense, attention, prediction = block_macs(make_arch(), 384, 1024)
    assert round((dense + attention) / (dense + 0.05 * attention + weight * prediction), 2) == ratio
