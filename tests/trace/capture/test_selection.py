"""Layers, heads, rows, samples and forward passes that are kept, and what is said of those that do not exist."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from attention_rebuilt import rebuilt

from dsasim import TraceError, capture
from dsasim.trace.capture.session import CaptureWarning

pytestmark = [
    pytest.mark.torch,
    # newer transformers rename it; the tests run with both
    pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning"),
]
L = 17


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
    )
    return transformers.LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 50, (1, L), generator=torch.Generator().manual_seed(1))


def run(model, ids, **options):
    with torch.no_grad(), capture(model, dtype="float32", **options) as trace:
        model(ids)
    return trace.trace


@pytest.fixture(scope="module")
def whole(model, ids):
    return run(model, ids)


def test_layers(model, ids):
    assert run(model, ids, layers=[2, 0]).layer_numbers == (0, 2)


@pytest.mark.parametrize(("heads", "kv_heads"), [([0, 1], 1), ([0, 3], 2), ([1, 2, 3], 3), ([2], 1)])
def test_heads_come_with_the_kv_heads_they_read(heads, kv_heads, model, ids, whole):
    chosen = run(model, ids, heads=heads).layer(1)
    assert (chosen.num_heads, chosen.num_kv_heads) == (len(heads), kv_heads)
    np.testing.assert_allclose(rebuilt(chosen), rebuilt(whole.layer(1))[heads], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("rows", "causal", "keys"), [(range(5, 9), True, 9), ([2, 7], False, 8), ([4], False, 5)])
def test_rows_of_a_causal_layer_lose_the_keys_after_them(rows, causal, keys, model, ids, whole):
    chosen = run(model, ids, rows=rows).layer(1)
    assert (chosen.causal, chosen.L_q, chosen.L_k) == (causal, len(rows), keys)
    assert chosen.allowed_counts.tolist() == [row + 1 for row in rows]
    np.testing.assert_allclose(rebuilt(chosen), rebuilt(whole.layer(1))[:, list(rows)], rtol=1e-6, atol=1e-7)
    assert np.array_equal(chosen.x_kv(), whole.layer(1).x_q()[:keys])


@pytest.mark.filterwarnings("ignore:of a batch of")
def test_the_sample_is_that_of_the_batch(model, ids, whole):
    other = torch.flip(ids, (1,))
    second = run(model, torch.cat([other, ids]), sample=1)
    np.testing.assert_allclose(second.layer(2).q(3), whole.layer(2).q(3), rtol=1e-4, atol=1e-6)
    with pytest.warns(CaptureWarning, match="of a batch of 2 sample 0 is in the trace"):
        run(model, torch.cat([other, ids]))


def test_all_samples_of_a_batch_are_sequences(model, ids, whole):
    """Each is what a capture of that sample alone has; nothing is left to warn of."""
    together = run(model, torch.cat([torch.flip(ids, (1,)), ids]), sample="all", layers=[0, 2])
    assert [layer.key for layer in together] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert together.meta.provenance["batch"] == "all samples of 2"
    assert [about["number"] for about in together.meta.provenance["layers"]] == [0, 2]
    for number in (0, 2):
        second, alone = together.layer(number, 1), whole.layer(number)
        for head in range(4):
            np.testing.assert_allclose(second.q(head), alone.q(head), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(second.v(head // 2), alone.v(head // 2), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(second.x_q(), alone.x_q(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(rebuilt(second), rebuilt(alone), rtol=1e-4, atol=1e-6)
        assert not np.allclose(together.layer(number, 0).q(0), alone.q(0), atol=1e-3)


@pytest.mark.filterwarnings("ignore:of a batch of", "ignore:.*later forward passes")
def test_all_samples_of_a_decode_step(model, ids):
    """Each sequence has the inputs of its own cached keys; the first prompt is padded on the left."""
    prompts = torch.cat([torch.flip(ids, (1,)), ids])
    mask = torch.ones_like(prompts)
    mask[0, :5] = 0
    with torch.no_grad(), capture(model, step=2, sample="all", dtype="float32") as trace:
        model.generate(
            prompts, attention_mask=mask, max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0
        )
    assert trace.not_captured == []
    padded, full = trace.trace.batch(1)
    assert (padded.L_q, padded.L_k, full.L_q, full.L_k) == (1, L + 2, 1, L + 2)
    assert (padded.allowed_counts.tolist(), full.allowed_counts.tolist()) == ([L + 2 - 5], [L + 2])
    with torch.no_grad(), capture(model, step=2, sample=1, dtype="float32") as other:
        model.generate(
            prompts, attention_mask=mask, max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0
        )
    assert np.array_equal(full.x_kv(), other.trace.layer(1).x_kv())
    assert np.array_equal(full.k(1), other.trace.layer(1).k(1))
    assert not np.array_equal(full.x_kv(), padded.x_kv())


@pytest.mark.filterwarnings("ignore:.*later forward passes")
@pytest.mark.parametrize("options", [{}, {"cache_implementation": "static"}], ids=["growing", "static"])
def test_a_decode_step_is_a_row_of_the_prefill_of_the_same_tokens(options, model, ids):
    with torch.no_grad(), capture(model, step=2, dtype="float32") as trace:
        out = model.generate(ids, max_new_tokens=5, do_sample=False, eos_token_id=None, pad_token_id=0, **options)
    row = run(model, out[:, : L + 2]).layer(1)
    decode = trace.trace.layer(1)
    assert (decode.L_q, decode.L_k, decode.num_heads, decode.num_kv_heads) == (1, L + 2, 4, 2)
    assert trace.provenance()["layers"][1]["attention"] == "decode"
    for head in range(4):
        np.testing.assert_allclose(decode.q(head)[0], row.q(head)[-1], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(decode.k(head // 2), row.k(head // 2), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(decode.x_kv(), row.x_q(), rtol=1e-3, atol=1e-5)


def test_a_decode_step_without_its_prefill_is_refused(model, ids):
    with torch.no_grad():
        cache = model(ids, use_cache=True).past_key_values
        with pytest.warns(CaptureWarning, match="run the prefill inside"), capture(model) as trace:
            model(ids[:, :1], past_key_values=cache)
    with pytest.raises(TraceError, match=r"^no attention was captured\n.*18 keys, and only 1 layer inputs"):
        trace.save("nowhere.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [5]}, "layers: no layer 5; the model's attention layers are 0-2"),
        ({"heads": [4]}, "heads: no head 4 in layer 0, which has heads 0-3"),
        ({"rows": [17]}, "rows: no row 17 in layer 0, which has rows 0-16"),
        ({"sample": 1}, "sample: no sample 1 in a batch of 1"),
        ({"step": 1}, "step 1: the model ran 1 forward passes"),
        ({"sample": "some"}, "capture: sample 'some' is not a whole number from 0, or 'all'"),
        ({"rows": []}, "capture: rows is empty; None keeps all"),
        ({"heads": [-1]}, "capture: heads -1 is not a whole number from 0"),
    ],
)
def test_what_does_not_exist_is_said(options, message, model, ids):
    with pytest.raises(TraceError) as error:
        run(model, ids, **options)
    assert str(error.value) == message


def test_only_modules_can_be_captured():
    with pytest.raises(TraceError, match=r"takes a torch\.nn\.Module, not int"):
        capture(3)


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_beam_search_moves_cached_keys_away_from_their_inputs(beams, model):
    ids = torch.randint(3, 50, (2, 9), generator=torch.Generator().manual_seed(0))
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad(), capture(model, step=3, sample=1) as trace:
        model.generate(ids, attention_mask=torch.ones_like(ids), num_beams=beams, **options)
    reason = "the cached keys are not those that this sample had in earlier passes"
    layers = model.config.num_hidden_layers
    assert [reason in text for text in trace.not_captured] == ([] if beams == 1 else [True] * layers)
    assert len(trace.layers) == (layers if beams == 1 else 0)
