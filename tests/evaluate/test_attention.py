"""Masks in a running model: the very masks of `simulate`, and attention over nothing but what they keep."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dsasim import load_arch
from dsasim.api import simulate
from dsasim.errors import TraceError
from dsasim.evaluate.attention import layer_of, masked_attention
from dsasim.evaluate.masks import masks_of
from dsasim.masks import KeepMask
from dsasim.quality.measure import QualityMeter
from dsasim.trace.store import open_trace

pytestmark = pytest.mark.torch


def design(method, density="0.25"):
    made_by = "dsa2021" if method == "dsa2021" else "oracle_topk"
    return load_arch("dsa-decoupled", [f"predictor.method={made_by}", f"mask_generator.density={density}"])


def run(captured, fits, masks):
    """Logits under masks, and the masks of each layer in the order they were made."""
    made = []

    def recorded(layer):
        heads = list(masks(layer))
        made.append((layer.number, [keep.to_dense() for keep in heads]))
        return iter(heads)

    with torch.no_grad(), masked_attention(captured.model, fits) as attention:
        attention.masks = None if masks is None else recorded
        return captured.model(input_ids=captured.ids).logits, made, attention


@pytest.mark.parametrize("method", ["dsa2021", "oracle_topk"])
@pytest.mark.parametrize("number", [0, 2])
def test_masks_are_those_that_simulate_makes(method, number, llama, monkeypatch):
    trace = open_trace(llama.path)
    arch = design(method)
    simulated = {}
    monkeypatch.setattr(
        QualityMeter,
        "add",
        lambda self, layer, head, keep: simulated.__setitem__(head, keep.block(0, layer.L_q).to_dense()),
    )
    monkeypatch.setattr(QualityMeter, "result", lambda self: None)
    simulate(arch, trace, layers=[number], baselines=False)
    # only this layer is masked, so what it is given is what the capture stored
    fits = {number: trace.layer(number).predictor(arch.predictor.sigma)}
    _, ((made_in, made),), attention = run(llama, fits, masks_of(arch, method))
    assert made_in == number
    assert sorted(simulated) == [0, 1, 2, 3]
    for head, keep in enumerate(made):
        assert np.array_equal(keep, simulated[head])
    assert attention.kept == sum(int(keep.sum()) for keep in made)
    assert attention.allowed == 4 * 24 * 25 // 2


def test_keeping_everything_changes_nothing(llama):
    trace = open_trace(llama.path)
    with torch.no_grad():
        plain = llama.model(input_ids=llama.ids).logits
    dense, _, _ = run(llama, {}, None)
    every, made, _ = run(llama, dict.fromkeys(trace.layer_numbers), masks_of(design("oracle_topk", "1"), "oracle_topk"))
    assert [number for number, _ in made] == [0, 1, 2]
    torch.testing.assert_close(dense, plain, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(every, plain, rtol=1e-4, atol=1e-4)


def test_masked_positions_are_left_out(llama):
    """Each row that sees its own key alone: attention gives the values themselves."""

    def own(layer):
        return iter([KeepMask.from_dense(np.eye(layer.L_q, dtype=bool))] * layer.num_heads)

    module, seen = llama.model.model.layers[1].self_attn, {}
    handles = [
        module.v_proj.register_forward_hook(lambda _m, _a, out: seen.update(v=out)),
        module.o_proj.register_forward_pre_hook(lambda _m, args: seen.update(out=args[0])),
    ]
    run(llama, {1: None}, own)
    for handle in handles:
        handle.remove()
    values = seen["v"].unflatten(-1, (2, 8)).repeat_interleave(2, dim=2).flatten(-2)
    torch.testing.assert_close(seen["out"], values)


def test_rows_that_keep_nothing_give_zeros(llama):
    def nothing(layer):
        return iter([KeepMask.from_dense(np.zeros((layer.L_q, layer.L_k), bool))] * layer.num_heads)

    seen = []
    projection = llama.model.model.layers[1].self_attn.o_proj
    handle = projection.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    run(llama, {1: None}, nothing)
    handle.remove()
    assert not seen[0].any()


def test_the_model_is_left_as_it_was(llama):
    before = llama.model.config._attn_implementation
    run(llama, {}, None)
    assert llama.model.config._attn_implementation == before
    assert not any(module._forward_pre_hooks for module in llama.model.modules())


def test_two_layers_of_one_number_are_refused():
    sides = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in {"layers": 1, "attention_heads": 2, "ffn_dim": 16}.items()
    }
    config = transformers.BartConfig(vocab_size=20, d_model=16, **sides)
    model = transformers.BartModel(config).eval()
    with torch.no_grad(), masked_attention(model, {}), pytest.raises(TraceError, match="only plain encoders"):
        model(input_ids=torch.randint(3, 20, (1, 8)))


def test_a_sliding_window_is_allowed_positions():
    mask = torch.ones(1, 1, 5, 5).tril().triu(-1).bool()
    tensors = [torch.randn(1, 2, 5, 4) for _ in range(3)] + [torch.randn(1, 5, 8)]
    layer = layer_of(3, tuple(tensors), mask, 0.5, None, causal=False)
    assert layer.causal
    assert layer.allowed_counts.tolist() == [1, 2, 2, 2, 2]


def test_an_input_without_a_row_for_each_query_is_refused():
    tensors = [torch.randn(1, 2, 5, 4) for _ in range(3)] + [torch.randn(1, 4, 8)]
    with pytest.raises(TraceError, match="layer 3: its module was given no input"):
        layer_of(3, tuple(tensors), None, 0.5, None, causal=False)


def test_predictors_know_as_many_positions_as_they_were_fitted_to(llama):
    fitted = open_trace(llama.path).layer(0).predictor(design("dsa2021").predictor.sigma)

    def layer(length):
        tensors = [
            torch.randn(1, 4, length, 8),
            *(torch.randn(1, 2, length, 8) for _ in "kv"),
            torch.randn(1, length, 32),
        ]
        return layer_of(0, tuple(tensors), None, 0.5, fitted, causal=True)

    assert layer(10).predictor(fitted.sigma).extra_k.shape[0] == 10
    with pytest.raises(TraceError, match="--tokens 25: the predictors of the trace know 24 positions"):
        layer(25)
