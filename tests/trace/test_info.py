"""The natural density of real layers and the density of masks."""

import numpy as np
import pytest

from dsasim.errors import TraceError
from dsasim.trace.info import MASSES, trace_info, trace_mask_density
from dsasim.trace.masks import import_mask
from dsasim.trace.store import open_trace, trace_in_memory


def one_layer(layer):
    return trace_info(trace_in_memory("small", [layer], dtype="float32"))


def with_weights(make_layer, weights, **fields):
    """A layer with one head whose softmax is `weights` [L_q, L_k]."""
    L_q, L_k = np.shape(weights)
    with np.errstate(divide="ignore"):
        bias = np.maximum(np.log(weights), -60)[None]
    layer = make_layer(heads=1, kv_heads=1, L_q=L_q, L_k=L_k, bias=bias, **fields)
    layer.q[:] = 0
    return layer


def test_the_fewest_keys_that_hold_the_mass_are_counted(make_layer):
    density = one_layer(with_weights(make_layer, [[0.05, 0.62, 0.30, 0.03]])).natural_density
    assert density == {0.90: 2 / 4, 0.95: 3 / 4, 0.99: 4 / 4}


def test_rows_count_equally_whatever_they_may_attend_to(make_layer):
    weights = [[0.5, 0.5], [1.0, 1e-9]]
    assert one_layer(with_weights(make_layer, weights)).natural_density[0.95] == (1 + 1 / 2) / 2
    assert one_layer(with_weights(make_layer, weights, causal=True)).natural_density[0.95] == (1 / 1 + 1 / 2) / 2


def test_rows_without_an_allowed_key_are_left_out(make_layer):
    allowed = np.array([[False, False], [True, True]])
    info = one_layer(with_weights(make_layer, [[0.5, 0.5], [1.0, 1e-9]], allowed=allowed))
    assert info.natural_density[0.95] == 1 / 2


def test_it_is_what_a_sort_of_the_softmax_says(make_layer):
    layer = make_layer(L_q=30, L_k=30, causal=True, scale=1.0)
    shares = []
    for head in range(4):
        scores = layer.q[head] @ layer.k[head // 2].T
        for row in range(30):
            weights = np.exp(scores[row, : row + 1] - scores[row, : row + 1].max())
            sums = np.cumsum(np.sort(weights)[::-1]) / weights.sum()
            shares.append([(np.argmax(sums >= mass - 1e-9) + 1) / (row + 1) for mass in MASSES])
    density = one_layer(layer).natural_density
    assert [density[mass] for mass in MASSES] == pytest.approx(np.mean(shares, axis=0), abs=1e-3)


def test_a_trace_s_density_is_the_mean_of_its_layers(make_layer):
    info = trace_info(trace_in_memory("two", [make_layer(0, causal=True), make_layer(5, scale=3.0)]))
    assert [layer.number for layer in info.layers] == [0, 5]
    for mass in MASSES:
        assert info.natural_density[mass] == pytest.approx(np.mean([of.natural_density[mass] for of in info.layers]))
    assert info.mask_density is None
    assert trace_mask_density(trace_in_memory("one", [make_layer()])) == 0


def test_a_mask_s_density_is_its_kept_share_of_allowed_positions(tmp_path):
    mask = np.tril(np.ones((2, 1, 4, 4), dtype=bool))
    mask[1, 0, 3] = False
    np.save(tmp_path / "m.npy", mask)
    import_mask(tmp_path / "m.npy", 8, tmp_path / "m.safetensors", causal=True)
    info = trace_info(open_trace(tmp_path / "m.safetensors"))
    assert [layer.mask_density for layer in info.layers] == [1.0, 6 / 10]
    assert info.mask_density == pytest.approx(0.8)
    assert trace_mask_density(open_trace(tmp_path / "m.safetensors")) == pytest.approx(0.8)
    assert info.natural_density is None
    assert info.layers[0].natural_density is None


def test_shapes_and_provenance_are_told(make_layer, make_fit, write):
    info = trace_info(open_trace(write(make_layer(predictors=(make_fit(),), causal=True))))
    layer = info.layers[0]
    assert (layer.num_heads, layer.num_kv_heads, layer.L_q, layer.L_k, layer.d_head, layer.d_model) == (
        4,
        2,
        10,
        10,
        8,
        12,
    )
    assert (layer.causal, layer.self_attention, [str(sigma) for sigma in layer.sigmas]) == (True, True, ["0.25"])
    assert info.meta.provenance == {"seed": 0}


def test_a_large_edited_file_is_found_by_info(broken, monkeypatch):
    def change(tensors, metadata):
        tensors["layer.3.k"][0, 0, 0] += 1

    monkeypatch.setattr("dsasim.trace.store.VERIFIED_BELOW_BYTES", 0)
    trace = open_trace(broken(change, redigest=False))
    with pytest.raises(TraceError, match="damaged or edited"):
        trace_info(trace)
