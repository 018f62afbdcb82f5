"""PyTorch's own attention modules and attention written by hand, against what the module itself puts out."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from attention_rebuilt import rebuilt, rel_l2
from torch.nn.attention import flex_attention

from dsasim import capture
from dsasim.trace.capture.session import CaptureWarning

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:of a batch of", "ignore:The PyTorch API of nested")]

HEADS, WIDTH, D_HEAD = 4, 16, 4
SCALE = D_HEAD**-0.5


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def x():
    return torch.randn(3, 11, WIDTH)


@pytest.fixture
def y():
    return torch.randn(3, 7, WIDTH)


def captured(model, *inputs, **options):
    with torch.no_grad(), capture(model, dtype="float32", **options) as trace:
        out = model(*inputs)
    return trace.trace, out, trace


def merged(layer):
    """Heads side by side [L_q, H x d_head], as an output projection reads them."""
    return torch.tensor(rebuilt(layer).transpose(1, 0, 2).reshape(layer.L_q, -1), dtype=torch.float32)


MODES = list(itertools.product([True, False], repeat=4))


@pytest.mark.parametrize(("batch_first", "weights", "training", "gradient"), MODES)
@pytest.mark.parametrize("cross", [False, True])
def test_multihead_attention_in_all_modes(batch_first, weights, training, gradient, cross, x, y):
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first).train(training)
    keys = y if cross else x
    given = (x, keys, keys) if batch_first else tuple(part.transpose(0, 1) for part in (x, keys, keys))
    with torch.set_grad_enabled(gradient), capture(module, sample=2, dtype="float32") as trace:
        out = module(*given, need_weights=weights)[0]
    (layer,) = trace.trace
    out = out[2] if batch_first else out[:, 2]
    with torch.no_grad():
        assert rel_l2(module.out_proj(merged(layer)).numpy(), out.detach().numpy()) < 1e-5
    assert layer.self_attention == (not cross)
    assert np.array_equal(layer.x_q(), x[2].numpy())
    assert np.array_equal(layer.x_kv(), keys[2].numpy())


def test_unbatched_views_of_one_input_are_self_attention(x):
    module = nn.MultiheadAttention(WIDTH, HEADS)
    with torch.no_grad(), capture(module) as trace:
        module(x[1], x[1], x[1])
    (layer,) = trace.trace
    assert layer.self_attention


@pytest.mark.filterwarnings("ignore:.*module's own")
@pytest.mark.parametrize("option", ["add_bias_kv", "add_zero_attn"])
def test_keys_of_the_module_itself_have_no_input_and_this_is_said(option, x):
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **{option: True})
    with torch.no_grad(), capture(module, dtype="float32") as trace:
        out = module(x, x, x)[0]
    (layer,) = trace.trace
    with torch.no_grad():
        assert rel_l2(module.out_proj(merged(layer)).numpy(), out[0].numpy()) < 1e-5
    assert np.array_equal(layer.x_kv(), np.vstack([x[0].numpy(), np.zeros((1, WIDTH))]))
    assert any("module's own" in note for note in trace.notes)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mask", ["none", "padding", "causal"])
def test_transformer_encoder_leaves_its_fast_path(training, mask, x, sampled_outputs):
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).train(training)
    padding = torch.zeros(3, 11, dtype=torch.bool)
    padding[1, 8:] = True
    options = {
        "none": {},
        "padding": {"src_key_padding_mask": padding},
        "causal": {"mask": nn.Transformer.generate_square_subsequent_mask(11), "is_causal": True},
    }[mask]
    with torch.no_grad():
        plain = model(x, **options)
        with capture(model, sample=1, dtype="float32", num_outputs=11) as trace:
            again = model(x, **options)
    torch.testing.assert_close(plain[1, :8], again[1, :8], rtol=1e-4, atol=1e-5)
    first, second = trace.trace
    assert first.causal == second.causal == (mask == "causal")
    assert first.allowed_counts.tolist() == (
        list(range(1, 12)) if mask == "causal" else [11 - 3 * (mask == "padding")] * 11
    )
    for read in (first, second):
        rows, outputs = sampled_outputs(read, 2)
        assert rel_l2(rebuilt(read)[2][rows], outputs) < 1e-5
    assert (first.d_ff, first.gated) == (32, False)


def test_a_whole_transformer_is_numbered_in_the_order_it_runs(x, y):
    model = nn.Transformer(WIDTH, HEADS, 2, 2, 32, batch_first=True).eval()
    with torch.no_grad(), capture(model) as trace:
        model(x, y, tgt_mask=nn.Transformer.generate_square_subsequent_mask(7))
    shapes = [(layer.number, layer.L_q, layer.L_k, layer.causal) for layer in trace.trace]
    assert shapes == [
        (0, 11, 11, False),
        (1, 11, 11, False),
        (2, 7, 7, True),
        (3, 7, 11, False),
        (4, 7, 7, True),
        (5, 7, 11, False),
    ]
    modules = [layer["module"] for layer in trace.provenance()["layers"]]
    assert modules[3] == "decoder.layers.0.multihead_attn"


def test_dropout_is_said_and_no_output_is_stored(x, sampled_outputs):
    model = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, dropout=0.5, batch_first=True).train()
    with pytest.warns(CaptureWarning, match=r"dropout of 0\.5 was on"), capture(model) as trace:
        model(x)
    (layer,) = trace.trace
    assert sampled_outputs(layer, 0) is None


class ByHand(nn.Module):
    """Projections, and an attention of q, k, v [B, H, L, d_head] in one of several spellings; returns its output."""

    def __init__(self, spelling):
        super().__init__()
        self.projection = nn.Linear(WIDTH, 3 * WIDTH)
        self.dropout = nn.Dropout(0.0)
        self.spelling = spelling

    def forward(self, x):
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        return self.spelling(self, q, k, v)


def matmuls(module, q, k, v):
    scores = torch.matmul(q, k.transpose(-2, -1)) / 2.0
    return module.dropout(scores.softmax(dim=-1)) @ v


def scaled_first(module, q, k, v):
    return torch.softmax((q * SCALE) @ k.mT, -1, dtype=torch.float32) @ v


def causal_in_place(module, q, k, v):
    scores = q @ k.mT
    scores *= SCALE
    scores.masked_fill_(torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(-1) @ v


def biased(module, q, k, v):
    distance = torch.arange(q.shape[-2])
    bias = -(distance[:, None] - distance).abs() * torch.arange(1, HEADS + 1)[:, None, None] * 0.1
    return ((q @ k.mT + bias) * SCALE).softmax(-1) @ v


def soft_capped(module, q, k, v):
    return (torch.tanh(q @ k.mT * 3.0 / 2.0) * 2.0).softmax(-1) @ v


def einsums(module, q, k, v):
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    weights = torch.einsum("bqhd,bkhd->bhqk", q, k).mul(SCALE).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).transpose(1, 2)


def ellipsis(module, q, k, v):
    return torch.einsum("...ij,...jd->...id", torch.einsum("...id,...jd->...ij", q, k).softmax(-1), v)


def flat_heads(module, q, k, v):
    flat = [part.flatten(0, 1) for part in (q, k, v)]
    scores = torch.baddbmm(torch.zeros(1), flat[0], flat[1].mT, beta=0, alpha=SCALE)
    return torch.bmm(scores.softmax(-1), flat[2]).unflatten(0, q.shape[:2])


def keys_first(module, q, k, v):
    weights = (k @ q.mT * SCALE).softmax(-2)
    return weights.mT @ v


def values_first(module, q, k, v):
    weights = (q @ k.mT).softmax(-1)
    return (v.mT @ weights.transpose(2, 3)).mT


def operator(module, q, k, v):
    return torch.ops.aten.scaled_dot_product_attention(q, k, v, is_causal=True)


def kernel(module, q, k, v):
    mask = torch.arange(11).expand(11, 11) % 3 > 0
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask.float(), scale=0.7)[0]


def reference_kernel(module, q, k, v):
    return torch._scaled_dot_product_attention_math(q, k[:, :2], v[:, :2], enable_gqa=True)[0]


def operators(module, q, k, v):
    aten = torch.ops.aten
    scores = aten.neg.default(aten.mul.Tensor(aten.matmul.default(q, aten.transpose.int(k, -2, -1)), -SCALE))
    return aten.matmul.default(aten._softmax.default(scores, -1, False), v)


class Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        return (q @ k.mT).softmax(-1) @ v


def function(module, q, k, v):
    return Function.apply(q, k, v)


def flexible(module, q, k, v):
    def score(value, batch, head, row, key):
        return value - 0.1 * head * (row - key).abs()

    def mask(batch, head, row, key):
        return row >= key

    blocks = flex_attention.create_block_mask(mask, 3, HEADS, 11, 11, device="cpu")
    return flex_attention.flex_attention(q, k[:, :2], v[:, :2], score, blocks, scale=0.3, enable_gqa=True)


SPELLINGS = [
    operator,
    kernel,
    reference_kernel,
    operators,
    function,
    flexible,
    matmuls,
    scaled_first,
    causal_in_place,
    biased,
    soft_capped,
    einsums,
    ellipsis,
    flat_heads,
    keys_first,
    values_first,
]


@pytest.mark.filterwarnings("ignore:.*went through tanh", "ignore:flex_attention called without")
@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda spelling: spelling.__name__)
def test_attention_by_hand(spelling, x):
    trace, out, _ = captured(ByHand(spelling), x, sample=1)
    (layer,) = trace
    assert layer.num_heads == HEADS
    assert layer.causal == (spelling in (causal_in_place, operator, flexible))
    assert rel_l2(rebuilt(layer), out[1].numpy()) < 1e-5
    assert np.array_equal(layer.x_q(), x[1].numpy())


def test_the_scale_is_the_model_s_and_not_part_of_a_bias(x):
    for spelling, scale, bias in ((matmuls, 0.5, False), (scaled_first, 1.0, False), (biased, SCALE, True)):
        (layer,) = captured(ByHand(spelling), x)[0]
        assert layer.scale == pytest.approx(scale)
        assert (layer.bias(0) is not None) == bias


def upcast(module, q, k, v):
    return (q @ k.mT * SCALE).float().softmax(-1).to(v.dtype) @ v


def fused(module, q, k, v):
    return nn.functional.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("spelling", [matmuls, upcast, einsums, fused], ids=lambda spelling: spelling.__name__)
@pytest.mark.parametrize(
    ("mode", "limit"),
    [
        (torch.no_grad, 1e-5),
        (torch.enable_grad, 1e-5),
        (torch.inference_mode, 1e-5),
        (lambda: torch.device("cpu"), 1e-5),  # a function mode of PyTorch's own
        (lambda: torch.autocast("cpu", dtype=torch.bfloat16), 3e-2),
    ],
    ids=["no_grad", "enable_grad", "inference_mode", "default_device", "autocast"],
)
def test_modes_of_pytorch_around_the_model(mode, limit, spelling, x):
    module = ByHand(spelling)
    with capture(module, dtype="float32") as trace, mode():
        out = module(x)
    (layer,) = trace.trace
    assert trace.not_captured == []
    assert layer.bias(0) is None
    assert layer.scale == pytest.approx(SCALE)
    assert rel_l2(rebuilt(layer), out[0].detach().float().numpy()) < limit


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_precisions_of_the_model(dtype, x):
    module = ByHand(upcast).to(dtype)
    with torch.no_grad(), capture(module, dtype="float32") as trace:
        out = module(x.to(dtype))
    (layer,) = trace.trace
    assert layer.bias(0) is None
    assert rel_l2(rebuilt(layer), out[0].float().numpy()) < (1e-5 if dtype is torch.float64 else 3e-2)


@pytest.mark.filterwarnings("ignore:.*masks differ between heads")
def test_masks_that_differ_between_heads(x):
    allowed = torch.rand(HEADS, 11, 11) < 0.6
    allowed[:, :, 0] = True

    def masked(module, q, k, v):
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)

    trace, out, seen = captured(ByHand(masked), x)
    (layer,) = trace
    assert np.array_equal(layer.allowed(), allowed.any(0).numpy())
    assert rel_l2(rebuilt(layer), out[0].numpy()) < 1e-5
    assert any("masks differ" in note for note in seen.notes)


@pytest.mark.parametrize("shape", [(11,), (3, 5)])
def test_channels_come_first_in_modules_of_convolutions(shape):
    class Convolved(nn.Module):
        def __init__(self):
            super().__init__()
            kind = nn.Conv1d if len(shape) == 1 else nn.Conv2d
            self.projection, self.before = kind(WIDTH, 3 * WIDTH, 1), kind(WIDTH, WIDTH, 1)

        def forward(self, x):
            q, k, v = self.projection(x).flatten(2).mT.unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
            return ((q @ k.mT * SCALE).softmax(-1) @ v).transpose(1, 2).flatten(2).mT.unflatten(2, shape)

    class TwoLayers(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = Convolved(), Convolved()

        def forward(self, x):
            rows = x.transpose(1, -1)  # channels last at the door, as in SqueezeBert's encoder
            return self.second(self.first(rows.transpose(1, -1)))

    model, x = TwoLayers(), torch.randn(2, WIDTH, *shape)
    with torch.no_grad():
        middle = model.first(x)
    trace, out, _ = captured(model, x, sample=1)
    for layer, given, made in zip(trace, (x, middle), (middle, out), strict=True):
        assert np.array_equal(layer.x_q(), given[1].flatten(1).T.numpy())
        assert rel_l2(merged(layer).T.numpy(), made[1].flatten(1).numpy()) < 1e-5


def test_several_attentions_on_one_input_of_a_module_are_said(x):
    class Functional(nn.Module):
        """Two layers in one module: no hook sees what the second is given."""

        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList(torch.randn(WIDTH, WIDTH) for _ in range(2))

        def forward(self, x):
            for weight in self.weights:
                x = x + nn.functional.scaled_dot_product_attention(x @ weight, x, x)
            return x

    with pytest.warns(CaptureWarning, match="the model itself: several attentions ran on one input of this module"):
        trace = captured(Functional(), x)[0]
    assert len(list(trace)) == 2


class BothWays(nn.Module):
    """One score product for two directions, as LightGlue's cross-attention has it."""

    def __init__(self):
        super().__init__()
        self.qk, self.v = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x0, x1):
        qk0, qk1, v0, v1 = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (self.qk(x0), self.qk(x1), self.v(x0), self.v(x1))
        )
        scores = torch.einsum("bhid,bhjd->bhij", qk0, qk1)
        forth, back = scores.softmax(-1), scores.transpose(-2, -1).contiguous().softmax(-1)
        return torch.einsum("bhij,bhjd->bhid", forth, v1), torch.einsum("bhji,bhjd->bhid", back.mT, v0)


@pytest.mark.parametrize("length", [7, 11])
def test_both_directions_of_a_shared_score_product(length, x):
    other = torch.randn(3, length, WIDTH)
    trace, outs, _ = captured(BothWays(), x, other)
    for layer, out, queries, keys in zip(trace, outs, (x, other), (other, x), strict=True):
        assert rel_l2(rebuilt(layer), out[0].numpy()) < 1e-5
        assert np.array_equal(layer.x_q(), queries[0].numpy())
        assert np.array_equal(layer.x_kv(), keys[0].numpy())


def test_compiled_modules_run_plainly_while_they_are_captured(x):
    module = ByHand(matmuls)
    trace, out, _ = captured(torch.compile(module, backend="eager"), x)
    (layer,) = trace
    assert rel_l2(rebuilt(layer), out[0].numpy()) < 1e-5


def test_the_model_s_output_is_left_alone_and_hooks_are_removed(x):
    module = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True).eval()
    with torch.no_grad():
        plain = module(x)
        with pytest.raises(AssertionError), capture(module):
            module(x[..., :3])
        with capture(module) as trace:
            module(x)
        assert torch.equal(plain, module(x))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert len(trace.layers) == 1
