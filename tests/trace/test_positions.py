"""Which positions a layer may attend to, and what is added to its scores."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from dsasim.errors import TraceError
from dsasim.trace.packing import pack_bits, pack_ternary, unpack_bits, unpack_ternary
from dsasim.trace.store import open_trace


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


def test_bias_is_stored_for_each_head_or_once_for_all(make_layer, write):
    each = np.arange(4 * 100, dtype=np.float32).reshape(4, 10, 10)
    assert np.array_equal(open_trace(write(make_layer(bias=each))).layer(3).bias(2), each[2])
    assert np.array_equal(open_trace(write(make_layer(bias=each[1:2]))).layer(3).bias(2), each[1])
    assert open_trace(write(make_layer())).layer(3).bias(2) is None


def test_a_keep_mask_may_stand_beside_real_tensors(make_layer, write):
    keep = np.random.default_rng(0).random((4, 10, 10)) < 0.5
    layer = open_trace(write(make_layer(keep=keep))).layer(3)
    assert all(np.array_equal(layer.given_mask(head), keep[head]) for head in range(4))
    assert open_trace(write(make_layer())).layer(3).given_mask(0) is None


def test_a_keep_mask_that_keeps_forbidden_positions_is_refused(make_layer, write):
    layer = open_trace(write(make_layer(L_q=4, L_k=4, causal=True, keep=np.ones((4, 4, 4), dtype=bool)))).layer(3)
    with pytest.raises(TraceError, match=r"small\.safetensors: layer 3 head 1: .* keeps 6 positions .* not allowed$"):
        layer.given_mask(1)


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
