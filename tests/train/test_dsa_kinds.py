"""DSA around every kind of attention that a capture reads: what comes out is attention over the kept positions."""

from decimal import Decimal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

from torch.nn.attention.flex_attention import flex_attention

from dsasim import capture
from dsasim.trace.store import open_trace
from dsasim.train.dsa import attach
from dsasim.train.dsa.rules import Fixed, TopK

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore:of a batch of", "ignore:The PyTorch API of nested", "ignore:flex_attention called"
    ),
]
HEADS, WIDTH, D_HEAD, L, B = 4, 16, 4, 10, 2


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Mixer(nn.Module):
    """Projections and an attention of q, k, v [B, H, L, d_head] as `spelling` has it; k and v have `kv_heads`."""

    def __init__(self, spelling, kv_heads=HEADS):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, heads * D_HEAD) for heads in (HEADS, kv_heads, kv_heads))
        self.out, self.spelling = nn.Linear(WIDTH, WIDTH), spelling

    def forward(self, x, y=None):
        sides = (self.q(x), self.k(x if y is None else y), self.v(x if y is None else y))
        q, k, v = (side.unflatten(-1, (-1, D_HEAD)).transpose(1, 2) for side in sides)
        return self.out(self.spelling(q, k, v).transpose(1, 2).flatten(2))


def fused(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v)


def grouped(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v, enable_gqa=True, is_causal=True)


def operator(q, k, v):
    return torch.ops.aten.scaled_dot_product_attention(q, k, v, scale=0.4)


def kernel(q, k, v):
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0]


def flexible(q, k, v):
    return flex_attention(q, k, v, lambda score, b, h, i, j: score - 0.1 * (i - j).abs(), enable_gqa=True)


def matmuls(q, k, v):
    return torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1) @ v


def causal(q, k, v):
    return (q @ k.mT).masked_fill(torch.ones(L, L, dtype=torch.bool).triu(1), -torch.inf).softmax(-1) @ v


def minus_and_bias(q, k, v):
    return (-(q @ k.mT + torch.arange(L) * 0.2) * 0.5).softmax(-1, dtype=torch.float32) @ v


def einsums(q, k, v):
    q, k, v = (side.transpose(1, 2) for side in (q, k, v))
    weights = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(dim=-1)
    return torch.einsum("bhqk,bkhd->bhqd", weights, v)


def einsum_groups(q, k, v):
    q = q.unflatten(1, (k.shape[1], -1))
    weights = torch.einsum("bgrqd,bgkd->bgrqk", q, k).softmax(-1)
    return torch.einsum("bgrqk,bgkd->bgrqd", weights, v).flatten(1, 2)


def flat_heads(q, k, v):
    q, k, v = (side.flatten(0, 1) for side in (q, k, v))
    return torch.bmm(torch.bmm(q, k.mT).softmax(2), v).unflatten(0, (-1, HEADS))


def keys_first(q, k, v):
    return (k @ q.mT).softmax(-2).mT @ v


def softmin(q, k, v):
    return functional.softmin(q @ k.mT, dim=-1) @ v


def exported(q, k, v):
    return torch.ops.aten._softmax.default(torch.ops.aten.matmul.default(q, k.mT), -1, False) @ v


SPELLINGS = [
    (fused, HEADS),
    (grouped, 2),
    (operator, HEADS),
    (kernel, HEADS),
    (flexible, 2),
    (matmuls, HEADS),
    (causal, HEADS),
    (minus_and_bias, HEADS),
    (einsums, HEADS),
    (einsum_groups, 2),
    (flat_heads, HEADS),
    (keys_first, HEADS),
    (softmin, HEADS),
    (exported, HEADS),
]
IDS = [spelling.__name__ for spelling, _ in SPELLINGS]


def reference(model, inputs, keep, sample):
    """Attention [L_q, H x d_head] over `keep`, by the tensors of a dense capture alone."""
    with torch.no_grad(), capture(model, dtype="float32", sample=sample) as trace:
        model(**inputs)
    (layer,) = trace.trace
    heads = []
    for head in range(layer.num_heads):
        kv = layer.kv_head(head)
        scores = layer.scale * layer.q(head).astype(np.float64) @ layer.k(kv).T
        scores += 0 if layer.bias(head) is None else layer.bias(head)
        scores = np.where(keep[head].numpy() & layer.allowed(), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        heads.append(weights / weights.sum(axis=1, keepdims=True) @ layer.v(kv))
    return torch.tensor(np.concatenate(heads, axis=1), dtype=torch.float32)


def random_keep(L_q, L_k):
    keep = torch.rand(HEADS, L_q, L_k) < 0.4
    keep[:, :, 0] = True
    return keep


def check(model, inputs, finish):
    """Under a fixed mask the model puts out `finish` of the reference; keeping everything, what it does alone."""
    dsa = attach(model, [lambda: model(**inputs)], sigma="0.5", bits=4)
    dense = model(**inputs)
    L_q, L_k = inputs["x"].shape[1], inputs.get("y", inputs["x"]).shape[1]
    dsa.rule = Fixed(torch.ones(L_q, L_k, dtype=torch.bool))
    with dsa:
        assert torch.allclose(model(**inputs), dense, atol=1e-5)
    keep = random_keep(L_q, L_k)
    dsa.rule = Fixed(keep)
    with dsa:
        out = model(**inputs)
    for sample in range(B):
        assert torch.allclose(out[sample], finish(reference(model, inputs, keep, sample)), atol=1e-5)
    assert torch.equal(model(**inputs), dense)
    return dsa


@pytest.mark.parametrize(("spelling", "kv_heads"), SPELLINGS, ids=IDS)
def test_the_output_is_attention_over_what_is_kept(spelling, kv_heads):
    model = Mixer(spelling, kv_heads)
    with torch.set_grad_enabled(spelling is not flexible):  # which has no gradient on a CPU
        dsa = check(model, {"x": torch.randn(B, L, WIDTH)}, model.out)
    assert len(dsa.paths[0].w_k) == kv_heads


@pytest.mark.parametrize(
    "spelling", [fused, matmuls, einsums, flat_heads, keys_first], ids=lambda spelling: spelling.__name__
)
def test_cross_attention(spelling):
    model = Mixer(spelling)
    check(model, {"x": torch.randn(B, L, WIDTH), "y": torch.randn(B, 7, WIDTH)}, model.out)


TRAINED = [each for each in SPELLINGS if each[0] is not flexible]


@pytest.mark.parametrize(("spelling", "kv_heads"), TRAINED, ids=[spelling.__name__ for spelling, _ in TRAINED])
def test_a_joint_step_reaches_model_and_path_and_lowers_the_loss(spelling, kv_heads):
    model, x = Mixer(spelling, kv_heads), torch.randn(B, L, WIDTH)
    target = torch.randn(B, L, WIDTH)
    dsa = attach(model, [lambda: model(x)], sigma="0.5", bits=8)
    dsa.rule = TopK("0.3")
    optimiser = torch.optim.Adam([*model.parameters(), *dsa.parameters()], lr=1e-2)
    losses = []
    for _ in range(8):
        with dsa:
            losses.append((model(x) - target).square().mean() + 0.1 * dsa.mse_loss())
        optimiser.zero_grad()
        losses[-1].backward()
        assert all(weight.grad.abs().sum() > 0 for weight in [model.q.weight, model.k.weight, *dsa.parameters()])
        optimiser.step()
    assert losses[-1].item() < losses[0].item()


def test_gradients_are_those_of_masked_attention_and_the_same_in_every_form():
    x, keep, gradients = torch.randn(B, L, WIDTH), random_keep(L, L), []
    for spelling in (matmuls, einsums, fused):
        torch.manual_seed(1)
        model = Mixer(spelling)
        scale = 0.5 if spelling is not einsums else 1.0
        model.q.weight.data *= 0.5 / scale
        model.q.bias.data *= 0.5 / scale
        dsa = attach(model, [lambda model=model: model(x)], sigma="0.5", bits=4)
        dsa.rule = Fixed(keep)
        with dsa:
            model(x).square().sum().backward()
        gradients.append(model.k.weight.grad)
    assert torch.allclose(gradients[0], gradients[1], atol=1e-4)
    assert torch.allclose(gradients[0], gradients[2], atol=1e-4)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_multihead_attention_of_pytorch(weights, batch_first):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first)

        def forward(self, x):
            given = x if batch_first else x.transpose(0, 1)
            out = self.inner(given, given, given, need_weights=weights)[0]
            return out if batch_first else out.transpose(0, 1)

    model = Wrapped()
    check(model, {"x": torch.randn(B, L, WIDTH)}, model.inner.out_proj)


def test_the_weights_that_multihead_attention_returns_are_the_kept_ones():
    model, x, keep = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), torch.randn(B, L, WIDTH), random_keep(L, L)
    dsa = attach(model, [lambda: model(x, x, x)], sigma="0.5", bits=4)
    dsa.rule = Fixed(keep)
    with dsa:
        weights = model(x, x, x, average_attn_weights=False)[1]
    assert torch.equal(weights > 0, keep.expand(B, -1, -1, -1))


SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": HEADS, "intermediate_size": 24}


def llama(transformers):
    model = transformers.LlamaModel(transformers.LlamaConfig(vocab_size=50, num_key_value_heads=2, **SIZES))
    return model, {"input_ids": torch.randint(3, 50, (1, L))}


def bert(transformers):
    model = transformers.BertModel(transformers.BertConfig(vocab_size=50, **SIZES))
    return model, {"input_ids": torch.randint(3, 50, (1, L))}


def t5(transformers):
    config = transformers.T5Config(vocab_size=50, d_model=WIDTH, d_kv=4, d_ff=24, num_layers=1, num_heads=HEADS)
    inputs = {"input_ids": torch.randint(3, 50, (1, L)), "decoder_input_ids": torch.randint(3, 50, (1, 7))}
    return transformers.T5Model(config), inputs


def whisper(transformers):
    sides = {"layers": 1, "attention_heads": HEADS, "ffn_dim": 24}
    config = transformers.WhisperConfig(
        vocab_size=50, d_model=WIDTH, max_source_positions=L, num_mel_bins=8, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1,
        **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in sides.items()},
    )  # fmt: skip
    inputs = {"input_features": torch.randn(1, 8, 2 * L), "decoder_input_ids": torch.randint(3, 50, (1, 7))}
    return transformers.WhisperModel(config), inputs


@pytest.mark.parametrize("make", [llama, bert, t5, whisper], ids=lambda make: make.__name__)
def test_transformers_models_give_the_same_in_eager_as_in_sdpa_form(make):
    model, inputs = make(pytest.importorskip("transformers"))
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3)
    outs, masks = [], []
    for form in ("sdpa", "eager"):
        model.set_attn_implementation(form)
        dsa = attach(model, [lambda: model(**inputs, use_cache=False)], sigma="0.5", bits=4)
        dense = model(**inputs, use_cache=False)[0]
        rule = TopK("0.3")
        kept = []
        dsa.rule = lambda scores, rule=rule, kept=kept: kept.append(rule(scores)) or kept[-1]
        with torch.no_grad(), dsa:
            outs.append(model(**inputs, use_cache=False)[0])
        masks.append(kept)
        assert not torch.allclose(outs[-1], dense, atol=1e-3)
    assert len(masks[0]) == len(masks[1]) == len(dsa.paths)
    assert all(torch.equal(*pair) for pair in zip(*masks, strict=True))
    assert torch.allclose(*outs, atol=1e-4)


class Twice(nn.Module):
    """One module of weights for two layers."""

    def __init__(self, spelling):
        super().__init__()
        self.shared = Mixer(spelling)

    def forward(self, x):
        return self.shared(x + self.shared(x))


class BothWays(nn.Module):
    """One score product for two directions, as LightGlue's cross-attention has it."""

    def __init__(self):
        super().__init__()
        self.qk, self.v = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, y):
        sides = (self.qk(x), self.qk(y), self.v(x), self.v(y))
        qk0, qk1, v0, v1 = (side.unflatten(-1, (HEADS, -1)).transpose(1, 2) for side in sides)
        scores = torch.einsum("bhid,bhjd->bhij", qk0, qk1)
        forth, back = scores.softmax(-1), scores.transpose(-2, -1).softmax(-1)
        return torch.einsum("bhij,bhjd->bhid", forth, v1), torch.einsum("bhji,bhjd->bhid", back.mT, v0)


@pytest.mark.parametrize("spelling", [fused, matmuls], ids=lambda spelling: spelling.__name__)
def test_a_module_that_runs_twice_has_two_paths(spelling, tmp_path):
    model, x = Twice(spelling), torch.randn(1, L, WIDTH)
    dsa = attach(model, [lambda: model(x)], sigma="0.5", bits=4)
    assert dsa.names == ("shared", "shared (2)")
    dsa.rule = TopK("0.3")
    with dsa:
        (model(x).square().mean() + dsa.mse_loss()).backward()
    assert all(path.w_q.grad.abs().sum() > 0 for path in dsa.paths)
    dsa.save(tmp_path / "twice.safetensors", lambda: model(x))
    first, second = open_trace(tmp_path / "twice.safetensors")
    for layer, path in zip((first, second), dsa.paths, strict=True):
        assert np.array_equal(layer.predictor(Decimal("0.5")).w_q, (path.w_q * path.gain_q).detach().numpy())


def test_both_directions_of_a_shared_score_product():
    model, x, y = BothWays(), torch.randn(1, L, WIDTH), torch.randn(1, 7, WIDTH)
    dsa = attach(model, [lambda: model(x, y)], sigma="0.5", bits=4)
    assert [len(path.fitted.w_q) for path in dsa.paths] == [HEADS, HEADS]
    seen = []

    def rule(scores):
        seen.append(TopK("0.3")(scores))
        return seen[-1]

    dsa.rule = rule
    dense = model(x, y)
    with torch.no_grad(), dsa:
        sparse = model(x, y)
    assert [tuple(keep.shape) for keep in seen] == [(1, HEADS, L, 7), (1, HEADS, 7, L)]
    assert not any(torch.allclose(*pair, atol=1e-3) for pair in zip(dense, sparse, strict=True))


def test_a_capture_around_it_sees_the_dense_attention_of_the_same_tensors():
    model, x = Mixer(matmuls), torch.randn(1, L, WIDTH)
    dsa = attach(model, [lambda: model(x)], sigma="0.5", bits=4)
    dsa.rule = Fixed(torch.eye(L, dtype=torch.bool))
    with torch.no_grad(), capture(model, num_outputs=0) as trace, dsa:
        model(x)
    (layer,) = trace.trace
    assert trace.not_captured == []
    assert layer.allowed().all()
    assert layer.bias(0) is None
