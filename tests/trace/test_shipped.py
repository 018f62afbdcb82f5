"""What the shipped traces promise."""

import numpy as np
import pytest

from dsasim.trace.find import shipped_traces
from dsasim.trace.info import trace_info
from dsasim.trace.store import open_trace

MAX_BYTES = 8_000_000
NAMES = ("minilm-l128", "smollm2-l512")


@pytest.fixture(scope="module", params=NAMES)
def shipped(request):
    return open_trace(shipped_traces()[request.param])


def attention_rows(layer, head, rows):
    """Exact attention of some rows, rebuilt from q, k, v, scale and the allowed positions."""
    scores = layer.scale * (layer.q(head)[rows].astype(np.float64) @ layer.k(layer.kv_head(head)).T)
    scores[~layer.allowed()[rows]] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ layer.v(layer.kv_head(head))


@pytest.mark.parametrize("name", NAMES)
def test_files_are_small(name):
    assert shipped_traces()[name].stat().st_size <= MAX_BYTES


def test_the_model_s_own_outputs_are_rebuilt_from_what_is_stored(shipped, sampled_outputs):
    """float16 carries 11 bits: operands, and so outputs, agree to a few parts in a thousand of the head's outputs."""
    for layer in shipped:
        for head in range(layer.num_heads):
            rows, out = sampled_outputs(layer, head)
            assert len(set(rows.tolist())) == 16
            error = np.linalg.norm(attention_rows(layer, head, rows) - out) / np.linalg.norm(out)
            assert error < 4e-3, (layer.number, head, error)


def test_every_layer_has_weights_for_three_sigmas(shipped):
    for layer in shipped:
        assert [str(sigma) for sigma in layer.sigmas] == ["0.1", "0.25", "0.5"]
        for sigma in layer.sigmas:
            fit = layer.predictor(sigma)
            assert fit.projection.shape == (layer.d_model, fit.k)
            assert set(np.unique(fit.projection)) == {-1, 0, 1}
            assert "other excerpts" in fit.fitted_on
            assert set(fit.scales) == {2, 4, 8}


def test_provenance_names_model_text_licences_and_versions(shipped):
    provenance = shipped.meta.provenance
    assert (shipped.meta.kind, provenance["model_licence"], provenance["input_licence"]) == (
        "real",
        "Apache-2.0",
        "PSF-2.0",
    )
    assert provenance["input_token_ids_sha256"] != provenance["fit_token_ids_sha256"]
    assert provenance["versions"]["torch"].startswith("2.13.0")


def test_smollm2_is_causal_grouped_and_naturally_sparse():
    trace = open_trace(shipped_traces()["smollm2-l512"])
    assert len(trace.layer_numbers) == 3
    for layer in trace:
        assert (layer.num_heads, layer.num_kv_heads, layer.L_q, layer.L_k, layer.d_head) == (9, 3, 512, 512, 64)
        assert (layer.d_model, layer.d_ff, layer.gated, layer.causal, layer.scale) == (576, 1536, True, True, 0.125)
        assert layer.predictor(layer.sigmas[0]).position_columns > 0
    densities = [layer.natural_density[0.95] for layer in trace_info(trace).layers]
    assert max(densities) <= 0.2
    assert max(densities) > 1.2 * min(densities)


def test_minilm_holds_every_layer_and_is_dense_ish():
    trace = open_trace(shipped_traces()["minilm-l128"])
    assert trace.layer_numbers == tuple(range(6))
    for layer in trace:
        assert (layer.num_heads, layer.num_kv_heads, layer.L_q, layer.L_k, layer.d_head) == (12, 12, 128, 128, 32)
        assert (layer.d_model, layer.d_ff, layer.gated, layer.causal) == (384, 1536, False, False)
        assert layer.predictor(layer.sigmas[0]).position_columns == 0
    assert 0.4 < trace_info(trace).natural_density[0.95] < 0.5
