"""What is written is what is read."""

from dataclasses import replace
from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from dsasim.errors import TraceError
from dsasim.trace.store import open_trace, trace_in_memory

reused = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@reused
@given(
    kv_heads=st.integers(1, 3),
    share=st.integers(1, 3),
    L_q=st.integers(1, 12),
    L_k=st.integers(1, 12),
    d_head=st.integers(1, 9),
    dtype=st.sampled_from(["float16", "float32"]),
    causal=st.booleans(),
)
def test_every_tensor_comes_back_in_the_store_s_precision(
    kv_heads, share, L_q, L_k, d_head, dtype, causal, make_layer, write
):
    layer = make_layer(heads=kv_heads * share, kv_heads=kv_heads, L_q=L_q, L_k=L_k, d_head=d_head, causal=causal)
    read = open_trace(write(layer, dtype=dtype)).layer(3)
    assert (read.num_heads, read.num_kv_heads, read.L_q, read.L_k, read.d_head) == (
        kv_heads * share,
        kv_heads,
        L_q,
        L_k,
        d_head,
    )
    assert read.self_attention == (L_q == L_k)

    def stored(array):
        return array.astype(dtype).astype(np.float32)

    for head in range(read.num_heads):
        assert np.array_equal(read.q(head), stored(layer.q[head]))
        assert np.array_equal(read.k(read.kv_head(head)), stored(layer.k[head // share]))
        assert np.array_equal(read.v(read.kv_head(head)), stored(layer.v[head // share]))
    assert np.array_equal(read.x_q(), stored(layer.x_q))
    assert np.array_equal(read.x_kv(), stored(layer.x_q if layer.x_kv is None else layer.x_kv))
    assert read.q(0).dtype == read.x_q().dtype == np.float32


def test_layers_keep_their_numbers_and_order(make_layer, write):
    trace = open_trace(write(make_layer(18), make_layer(2)))
    assert trace.layer_numbers == (18, 2)
    with pytest.raises(TraceError, match=r"^small: no layer 5; it holds layers 18, 2$"):
        trace.layer(5)


def test_query_heads_share_kv_heads_in_runs(make_layer, write):
    layer = open_trace(write(make_layer(heads=9, kv_heads=3))).layer(3)
    assert [layer.kv_head(head) for head in range(9)] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_sampled_outputs_come_with_their_rows(make_layer, write, sampled_outputs):
    rows = np.array([[0, 9], [1, 2], [3, 4], [5, 9]])
    layer = open_trace(write(make_layer(out_rows=rows, out=np.ones((4, 2, 8))))).layer(3)
    read_rows, out = sampled_outputs(layer, 3)
    assert read_rows.tolist() == [5, 9]
    assert out.shape == (2, 8)
    assert sampled_outputs(open_trace(write(make_layer())).layer(3), 0) is None


def test_predictors_come_back_exactly_and_by_decimal_value(make_layer, make_fit, write):
    fits = (make_fit("0.5"), make_fit("0.1"))
    layer = open_trace(write(make_layer(predictors=fits))).layer(3)
    assert layer.sigmas == (Decimal("0.1"), Decimal("0.5"))
    assert layer.predictor(Decimal("0.25")) is None
    fit = layer.predictor(Decimal("0.50"))
    for field in ("projection", "w_q", "w_k", "extra_q", "extra_k"):
        assert np.array_equal(getattr(fit, field), getattr(fits[0], field))
        assert getattr(fit, field).dtype == getattr(fits[0], field).dtype
    assert (fit.k, fit.columns, fit.rank, fit.position_columns, fit.fitted_on) == (3, 6, 2, 1, "other text")
    for bits in (4, 8):
        for key in ("x", "xp", "w_q", "w_k", "q", "k"):
            assert np.array_equal(fit.scales[bits][key], fits[0].scales[bits][key])


@pytest.mark.parametrize(("L_q", "L_k", "positions"), [(3, 10, 4), (3, 10, 0), (10, 3, 0)])
def test_predictors_of_cross_attention_round_trip(L_q, L_k, positions, make_layer, make_fit, write):
    fit = make_fit(L_q=L_q, L_k=L_k, positions=positions)
    read = open_trace(write(make_layer(L_q=L_q, L_k=L_k, predictors=(fit,)))).layer(3).predictor(fit.sigma)
    assert np.array_equal(read.extra_q, fit.extra_q)
    assert np.array_equal(read.extra_k, fit.extra_k)


def test_predictors_without_extra_columns_round_trip(make_layer, make_fit, write):
    fit = make_fit()
    none = np.zeros((10, 0), dtype=np.float32)
    bare = replace(fit, w_q=fit.w_q[:, :3], w_k=fit.w_k[:, :3], extra_q=none, extra_k=none, position_columns=0)
    read = open_trace(write(make_layer(predictors=(bare,)))).layer(3).predictor(Decimal("0.25"))
    assert read.extra_q.shape == read.extra_k.shape == (10, 0)
    assert read.columns == read.k == 3


def test_equal_position_columns_of_several_sigmas_are_stored_once(make_layer, make_fit, write):
    def size(*sigmas):
        fits = tuple(make_fit(sigma, L_q=1000, L_k=1000, positions=32) for sigma in sigmas)
        return write(make_layer(L_q=1000, L_k=1000, predictors=fits)).stat().st_size

    columns_bytes = 1000 * 32 * 4
    assert size("0.1", "0.25") - size("0.1") < columns_bytes


def test_the_same_layers_give_the_same_bytes(make_layer, make_fit, write):
    layer = make_layer(predictors=(make_fit(),))
    assert write(layer, name="a").read_bytes() == write(layer, name="b").read_bytes()


def test_content_not_the_file_s_name_decides_the_digest(make_layer, write):
    first = open_trace(write(make_layer(), name="a")).meta
    assert (first.name, first.kind, first.model, first.provenance) == ("a", "synthetic", "none", {"seed": 0})
    assert open_trace(write(make_layer(), name="b")).meta.sha256 == first.sha256
    assert open_trace(write(make_layer(seed=1), name="c")).meta.sha256 != first.sha256
    assert open_trace(write(make_layer(), name="d", model="other")).meta.sha256 != first.sha256


def test_a_trace_in_memory_is_the_one_a_file_gives(make_layer, make_fit, write):
    layers = [make_layer(predictors=(make_fit(),), causal=True)]
    options = {"kind": "synthetic", "model": "none", "provenance": {"seed": 0}}
    memory, file = trace_in_memory("small", layers, **options), open_trace(write(*layers))
    assert memory.meta == file.meta
    assert np.array_equal(memory.layer(3).q(1), file.layer(3).q(1))
    assert np.array_equal(memory.layer(3).allowed(), file.layer(3).allowed())


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_scale_that_is_not_above_0_is_refused(scale, make_layer, make_fit):
    fit = make_fit()
    bad = {bits: {key: np.full_like(array, scale) for key, array in of.items()} for bits, of in fit.scales.items()}
    layer = make_layer(predictors=(replace(fit, scales=bad),))
    trace = trace_in_memory("bad", [layer], kind="synthetic")
    with pytest.raises(TraceError, match=r"has a scale of -?\d; scales are above 0"):
        trace.layer(trace.layer_numbers[0]).predictor(fit.sigma)
