"""The feed-forward part beside each attention: width, gate and experts of models whose weights are random."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from dsasim import capture
from dsasim.trace.capture.feed_forward import FeedForward, feed_forward

D = 32


class Layer(nn.Module):
    """An attention, and a feed-forward part of any modules."""

    def __init__(self, **parts):
        super().__init__()
        self.attn = nn.MultiheadAttention(D, 4, batch_first=True)
        for name, part in parts.items():
            self.add_module(name, part)


def linears(**shapes):
    return nn.ModuleDict({name: nn.Linear(*shape) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Layer(fc1=nn.Linear(D, 80), fc2=nn.Linear(80, D)), (80, False)),
        (Layer(mlp=linears(w1=(D, 48), w2=(48, D), w3=(D, 48))), (48, True)),
        (Layer(mlp=linears(w12=(D, 96), w3=(48, D))), (48, True)),
        (Layer(mlp=linears(up=(D, D), down=(D, D))), (D, False)),
        (Layer(mlp=linears(gate=(D, D), up=(D, D), down=(D, D))), (D, True)),
        (Layer(mlp=linears(both=(D, D), down=(D // 2, D))), (D // 2, True)),
        (Layer(intermediate=linears(dense=(D, 40)), output=linears(dense=(40, D))), (40, False)),
        (Layer(up=nn.Conv1d(D, 72, 1), down=nn.Conv1d(72, D, 1)), (72, False)),
        (Layer(), (None, None)),
        (Layer(adapter=nn.Linear(D, D)), (None, None)),
    ],
)
def test_shapes_tell_width_and_gate(layer, expected):
    found = feed_forward(nn.ModuleDict({"layers": nn.ModuleList([layer, layer])}), "layers.1.attn", D)
    assert (found.d_ff, found.gated) == expected


def test_attention_and_feed_forward_in_one_list():
    layer = nn.ModuleList([Layer().attn, linears(a=(D, 64), b=(64, D))])
    assert feed_forward(nn.ModuleList([layer, layer]), "1.0", D) == FeedForward(64, False)


SIZES = {"hidden_size": D, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
GQA = {**SIZES, "num_key_value_heads": 2, "intermediate_size": 64}
SMALL_EXPERTS = {**GQA, "moe_intermediate_size": 24, "num_experts_per_tok": 2}
T5 = {"vocab_size": 50, "d_model": D, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
MIXTURES = [
    ("Mixtral", {**GQA, "num_local_experts": 4}, 128, True, "d_ff is 2 of 4 experts of 64 that a token visits"),
    ("GraniteMoe", {**GQA, "num_local_experts": 4}, 128, True, "2 of 4 experts of 64"),
    ("Qwen3Moe", {**SMALL_EXPERTS, "num_experts": 4}, 48, True, "2 of 4 experts of 24"),
    (
        "Qwen2Moe",
        {**SMALL_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 40},
        88,
        True,
        "2 of 4 experts of 24 that a token visits, and 40 for all",
    ),
]
DENSE = [
    ("Llama", GQA, 64, True),
    ("Gemma", {**GQA, "head_dim": 8}, 64, True),
    ("Phi3", {**GQA, "pad_token_id": 0, "eos_token_id": 2}, 64, True),
    ("Bert", {**SIZES, "intermediate_size": 64}, 64, False),
    ("GPTNeoX", {**SIZES, "intermediate_size": 64}, 64, False),
    (
        "GPT2",
        {"vocab_size": 50, "n_embd": D, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2},
        128,
        False,
    ),
    ("T5", T5, 64, False),
    ("SqueezeBert", {**SIZES, "intermediate_size": 64, "embedding_size": D}, 64, None),  # grouped convolutions
    ("ModernBert", {**SIZES, "intermediate_size": 64, **TOKENS}, 64, True),
    ("T5", {**T5, "feed_forward_proj": "gated-gelu"}, 64, True),
]


def captured(family, sizes):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")(**sizes)).eval()
    ids = torch.randint(3, 50, (1, 7))
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if family == "T5" else {})
    with torch.no_grad(), capture(model) as trace:
        model(**inputs)
    return trace


@pytest.mark.filterwarnings("ignore:d_ff is")
@pytest.mark.parametrize(("family", "sizes", "d_ff", "gated", "note"), MIXTURES, ids=lambda value: str(value)[:9])
def test_mixtures_of_experts(family, sizes, d_ff, gated, note):
    trace = captured(family, sizes)
    assert [(layer.d_ff, layer.gated) for layer in trace.trace] == [(d_ff, gated)] * 2
    (said,) = trace.notes
    assert note in said
    assert said.endswith("(2 times)")
    assert trace.not_captured == []


@pytest.mark.parametrize(("family", "sizes", "d_ff", "gated"), DENSE, ids=lambda value: str(value)[:9])
def test_dense_families(family, sizes, d_ff, gated):
    trace = captured(family, sizes)
    assert {(layer.d_ff, layer.gated) for layer in trace.trace} == {(d_ff, gated)}


@pytest.mark.filterwarnings("ignore:a mixture of experts, of unknown number")
def test_experts_of_unknown_number_have_no_width():
    layer = Layer(mlp=nn.ModuleDict({"experts": nn.ModuleList(linears(w1=(D, 64), w2=(64, D)) for _ in range(3))}))
    found = feed_forward(layer, "attn", D)
    assert (found.d_ff, found.gated) == (None, False)
    assert "of unknown number" in found.note


@pytest.mark.filterwarnings("ignore:d_ff is")
def test_a_layer_of_a_mixture_is_simulated_with_the_experts_that_a_token_visits():
    from dsasim.mappings.dense_layer import feed_forward as products

    up, down = products(captured("Mixtral", MIXTURES[0][1]).trace.layer(1))
    assert (up.macs, down.macs) == (7 * D * 2 * 128, 7 * 128 * D)
