"""Which positions a layer may attend to, and what is added to its scores."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from dsasim.errors import TraceError
from dsasim.trace.packing import pack_bits, pack_ternary, unpack_bits, unpack_ternary
from dsasim.trace.store import open_trace, trace_in_memory


def test_without_causality_every_position_is_allowed(make_layer, write):
    assert open_trace(write(make_layer())).layer(3).allowed().all()


@pytest.mark.parametrize(("L_q", "L_k"), [(3, 3), (2, 4), (4, 2)])
def test_causal_rows_are_the_last_of_the_keys(L_q, L_k, make_layer, write):
    allowed = open_trace(write(make_layer(L_q=L_q, L_k=L_k, causal=True))).layer(3).allowed()
    assert allowed.tolist() == [[j <= i + L_k - L_q for j in range(L_k)] for i in range(L_q)]


def test_padding_and_causality_both_hold(make_layer, write):
    padding = np.ones((3, 3), dtype=bool)
    padding[:, 0] = False
    allowed = open_trace(write(make_layer(L_q=3, L_k=3, causal=True, allowed=padding))).layer(3).allowed()
    assert allowed.tolist() == [[False, False, False], [False, True, False], [False, True, True]]


@pytest.mark.parametrize("fields", [{}, {"causal": True}, {"allowed": True}, {"allowed": True, "causal": True}])
@pytest.mark.parametrize(("L_q", "L_k"), [(9, 9), (3, 17), (17, 3)])
def test_rows_counts_and_spans_agree_with_the_whole(fields, L_q, L_k, make_layer, write, monkeypatch):
    monkeypatch.setattr("dsasim.trace.positions.BLOCK_POSITIONS", 4 * L_k)
    if "allowed" in fields:
        fields = fields | {"allowed": np.random.default_rng(L_q).random((L_q, L_k)) < 0.3}
    layer = open_trace(write(make_layer(L_q=L_q, L_k=L_k, **fields))).layer(3)
    allowed = layer.allowed()
    assert layer.allowed_counts.tolist() == allowed.sum(axis=1).tolist()
    assert layer.row_spans.tolist() == [max((j + 1 for j in range(L_k) if row[j]), default=0) for row in allowed]
    blocks = list(layer.row_blocks())
    assert [row for block in blocks for row in range(L_q)[block.rows]] == list(range(L_q))
    assert [block.num_rows for block in blocks[:-1]] == [4] * (len(blocks) - 1)
    for block in blocks:
        assert np.array_equal(layer.allowed(*block), allowed[block.rows, : block.num_keys])
        assert not allowed[block.rows, block.num_keys :].any()


def test_bias_may_be_read_some_rows_at_a_time(make_layer, write):
    bias = np.arange(4 * 100, dtype=np.float32).reshape(4, 10, 10)
    layer = open_trace(write(make_layer(bias=bias))).layer(3)
    assert np.array_equal(layer.bias(2, 3, 4), bias[2, 3:7])


def test_bits_beyond_the_last_key_are_no_keys(make_layer, write):
    layer = open_trace(write(make_layer(keep=np.ones((4, 10, 10), dtype=bool)))).layer(3)
    packed = layer.source.raw("layer.3.keep").copy()
    packed[..., -1] |= 0b00111111
    dirty = trace_in_memory("dirty", [make_layer(keep=np.ones((4, 10, 10), dtype=bool))])
    dirty.layer(3).source._arrays["layer.3.keep"] = packed
    assert np.array_equal(dirty.layer(3).given_bits(1), layer.given_bits(1))


def test_bias_is_stored_for_each_head_or_once_for_all(make_layer, write):
    each = np.arange(4 * 100, dtype=np.float32).reshape(4, 10, 10)
    assert np.array_equal(open_trace(write(make_layer(bias=each))).layer(3).bias(2), each[2])
    assert np.array_equal(open_trace(write(make_layer(bias=each[1:2]))).layer(3).bias(2), each[1])
    assert open_trace(write(make_layer())).layer(3).bias(2) is None


def test_a_keep_mask_may_stand_beside_real_tensors(make_layer, write):
    keep = np.random.default_rng(0).random((4, 10, 10)) < 0.5
    layer = open_trace(write(make_layer(keep=keep))).layer(3)
    assert all(np.array_equal(unpack_bits(layer.given_bits(head), 10), keep[head]) for head in range(4))
    assert open_trace(write(make_layer())).layer(3).given_bits(0) is None


def test_a_keep_mask_that_keeps_forbidden_positions_is_refused(make_layer, write):
    layer = open_trace(write(make_layer(L_q=4, L_k=4, causal=True, keep=np.ones((4, 4, 4), dtype=bool)))).layer(3)
    with pytest.raises(
        TraceError,
        match=r"small\.safetensors: layer 3 head 1: .* keeps 6 positions .* not allowed, the first row 0 key 1$",
    ):
        layer.given_bits(1)


@given(arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 40))))
def test_packed_bits_unpack_to_the_mask(mask):
    packed = pack_bits(mask)
    assert packed.nbytes == mask.shape[0] * -(-mask.shape[1] // 8)
    assert np.array_equal(unpack_bits(packed, mask.shape[1]), mask)


@given(arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=st.integers(-1, 1)))
def test_packed_ternary_values_unpack_exactly(values):
    read = unpack_ternary(pack_ternary(values), values.shape[1])
    assert read.dtype == np.int8
    assert np.array_equal(read, values)
