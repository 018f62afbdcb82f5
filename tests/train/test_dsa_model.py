"""DSA around whole models: masks that the simulator keeps too, every kind of attention, the joint loss, the errors."""

from decimal import Decimal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

from dsasim import load_arch, simulate
from dsasim.errors import ConfigError, TraceError
from dsasim.prediction import load_predictor
from dsasim.trace.store import open_trace
from dsasim.train.dsa import attach
from dsasim.train.dsa.rules import Fixed, LayerScores, OracleTopK, Threshold, TopK, highest

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:The PyTorch API of nested")]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Own(nn.Module):
    """Grouped attention by scaled_dot_product_attention; keeps what it put out."""

    def __init__(self, width=16, heads=4, kv_heads=2, causal=False):
        super().__init__()
        self.heads, self.kv_heads, self.causal = heads, kv_heads, causal
        d_head = width // heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * kv_heads * d_head)
        self.mask = None

    def forward(self, x):
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(x).unflatten(-1, (2 * self.kv_heads, -1)).transpose(1, 2).chunk(2, dim=1)
        out = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=self.mask, is_causal=self.causal, enable_gqa=True
        )
        return out.transpose(1, 2).flatten(2)


class Two(nn.Module):
    """Two attention layers with residuals."""

    def __init__(self, causal=False):
        super().__init__()
        self.layers = nn.ModuleList(Own(causal=causal) for _ in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(functional.layer_norm(x, x.shape[-1:]))
        return x


def attached(model, *shape, sigma="0.5", bits=4, **options):
    inputs = [torch.randn(shape) for _ in range(3)]
    return attach(model, [lambda x=x: model(x) for x in inputs], sigma=sigma, bits=bits, **options)


class Recorder:
    """A rule that remembers the masks of another."""

    def __init__(self, rule):
        self.rule, self.seen = rule, []

    def __call__(self, scores):
        self.seen.append(self.rule(scores))
        return self.seen[-1]


def trained(model, dsa, shape, steps=6):
    """A few joint steps, so that weights and scales are no longer those of the fit."""
    optimiser = torch.optim.Adam([*model.parameters(), *dsa.parameters()], lr=1e-2)
    for _ in range(steps):
        with dsa:
            loss = model(torch.randn(shape)).square().mean() + 0.1 * dsa.mse_loss()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("causal", [False, True])
def test_a_run_of_the_saved_trace_keeps_what_the_trained_model_kept(bits, causal, tmp_path) -> None:
    model = Two(causal)
    dsa = attached(model, 1, 37, 16, bits=bits)
    dsa.rule = TopK("0.2")
    trained(model, dsa, (3, 37, 16))
    x = torch.randn(1, 37, 16)
    dsa.rule = kept = Recorder(dsa.rule)
    with torch.no_grad(), dsa:
        model(x)
    masks, kept.seen = kept.seen, []
    dsa.save(tmp_path / "trained.safetensors", lambda: model(x))
    trace = open_trace(tmp_path / "trained.safetensors")
    arch = load_arch("dsa-decoupled", ["predictor.sigma=0.5", f"predictor.bits={bits}", "mask_generator.density=0.2"])
    for layer, mask in zip(trace, masks, strict=True):
        assert layer.predictor(Decimal("0.5")).fitted_on == "joint training"
        predictor = load_predictor(arch, layer)
        for head in range(4):
            assert np.array_equal(predictor.select(head).keep.block(0, 37).to_dense(), mask[0, head].numpy())
    run = simulate(arch, trace)
    assert run.machine.layers[0].heads[0].nnz == int(masks[0][0, 0].sum())
    assert 0 < run.quality.ours.mask_recall_ratio <= 1


def test_thresholds_too(tmp_path) -> None:
    model = Two()
    dsa = attached(model, 1, 30, 16)
    dsa.rule = kept = Recorder(Threshold(0.05))
    x = torch.randn(1, 30, 16)
    dsa.save(tmp_path / "trained.safetensors", lambda: model(x))
    arch = load_arch(
        "dsa-decoupled",
        ["predictor.sigma=0.5", "mask_generator.selection=threshold", "mask_generator.threshold=0.05"],
    )
    layer = open_trace(tmp_path / "trained.safetensors").layer(0)
    found = load_predictor(arch, layer).select(1).keep.block(0, 30).to_dense()
    assert 0 < found.sum() < found.size
    assert np.array_equal(found, kept.seen[0][0, 1].numpy())


def test_the_command_runs_a_trained_trace(tmp_path, dsasim) -> None:
    model = Two()
    dsa = attached(model, 1, 32, 16, sigma="0.25")
    dsa.rule = TopK("0.1")
    trained(model, dsa, (2, 32, 16), steps=2)
    dsa.save(tmp_path / "t.safetensors", lambda: model(torch.randn(1, 32, 16)))
    done = dsasim("run", "dsa-decoupled", str(tmp_path / "t.safetensors"), "--json", str(tmp_path / "t.json"))
    assert (done.status, done.err) == (0, "")


def test_keeping_everything_is_the_dense_model_and_so_is_the_model_outside() -> None:
    model, x = Two(causal=True), torch.randn(2, 21, 16)
    dsa = attached(model, 1, 21, 16)
    dense = model(x)
    for rule in (None, TopK("1"), OracleTopK("1")):
        dsa.rule = rule
        with dsa:
            assert torch.allclose(model(x), dense, atol=1e-6)
    dsa.rule = TopK("0.1")
    with dsa:
        assert not torch.allclose(model(x), dense, atol=1e-3)
    assert torch.equal(model(x), dense)


def test_padding_is_not_kept() -> None:
    model = Own()
    dsa = attached(model, 1, 12, 16)
    model.mask = (torch.arange(12) < 7)[None, None, None].expand(2, 1, 12, 12).clone()
    model.mask[1] = True
    dsa.rule = kept = Recorder(TopK("0.5"))
    with torch.no_grad(), dsa:
        model(torch.randn(2, 12, 16))
    (keep,) = kept.seen
    assert not keep[0, :, :, 7:].any()
    assert (keep[0].sum(-1) == 4).all()
    assert (keep[1].sum(-1) == 6).all()


@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_of_pytorch_with_padding(training) -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).train(training)
    x, padding = torch.randn(2, 10, 16), torch.zeros(2, 10, dtype=torch.bool)
    padding[0, 6:] = True
    dsa = attached(model, 1, 10, 16)
    with torch.set_grad_enabled(training):
        dense = model(x, src_key_padding_mask=padding)
        dsa.rule = TopK("1")
        with dsa:
            same = model(x, src_key_padding_mask=padding)
            dsa.rule = TopK("0.1")
            one = model(x, src_key_padding_mask=padding)
    assert torch.allclose(same[~padding], dense[~padding], atol=1e-5)
    assert not torch.allclose(one[~padding], dense[~padding], atol=1e-2)


def test_cross_attention_of_pytorch() -> None:
    module = nn.MultiheadAttention(16, 4, batch_first=True)
    x, y = torch.randn(2, 9, 16), torch.randn(2, 13, 16)
    dsa = attach(module, [lambda: module(x[:1], y[:1], y[:1])], sigma="0.5", bits=4)
    dsa.rule = kept = Recorder(TopK("0.25"))
    with dsa:
        _, weights = module(x, y, y)
        loss = dsa.mse_loss()
    assert (weights > 0).float().mean() < 0.9
    assert (kept.seen[0].sum(-1) == 4).all()
    loss.backward()
    assert dsa.paths[0].w_k.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_transformers_models(kind, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "vocab_size": 90,
    }
    if kind == "llama":
        model = transformers.LlamaModel(transformers.LlamaConfig(**sizes, num_key_value_heads=2, rope_theta=500.0))
    else:
        model = transformers.BertModel(transformers.BertConfig(**sizes, attention_probs_dropout_prob=0.0))
    model.eval()
    ids = torch.randint(90, (3, 18))
    padding = torch.ones_like(ids)
    padding[0, :5] = 0
    dsa = attach(model, [lambda at=at: model(ids[at : at + 1]) for at in (1, 2)], sigma="0.5", bits=4)
    assert (dsa.paths[0].fitted.position_columns > 0) == (kind == "llama")
    assert len(dsa.paths[0].fitted.w_k) == (2 if kind == "llama" else 4)
    dense = model(ids, attention_mask=padding)[0]
    dsa.rule = TopK("1")
    with dsa:
        same = model(ids, attention_mask=padding)[0]
    assert torch.allclose(same[padding > 0], dense[padding > 0], atol=1e-4)
    dsa.rule = kept = Recorder(TopK("0.3"))
    with torch.no_grad(), dsa:
        model(ids[1:2])
    masks = kept.seen
    dsa.rule = TopK("0.3")
    dsa.save(tmp_path / "hf.safetensors", lambda: model(ids[1:2]))
    trace = open_trace(tmp_path / "hf.safetensors")
    assert trace.meta.provenance.get("rotary_base") == (500.0 if kind == "llama" else None)
    arch = load_arch("dsa-decoupled", ["predictor.sigma=0.5", "mask_generator.density=0.3"])
    for layer, mask in zip(trace, masks, strict=True):
        found = load_predictor(arch, layer).select(3).keep.block(0, 18).to_dense()
        assert np.array_equal(found, mask[0, 3].numpy())


def test_the_joint_loss_teaches_model_and_path() -> None:
    model = Two()
    dsa = attached(model, 1, 20, 16)
    dsa.rule = TopK("0.3")
    with dsa:
        model(torch.randn(2, 20, 16))
        first = dsa.mse_loss()
    first.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in [*model.layers[0].q.parameters(), *dsa.parameters()])
    x = torch.randn(2, 20, 16)
    optimiser = torch.optim.Adam(dsa.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        with dsa:
            model(x)
            losses.append(dsa.mse_loss())
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1].item() < losses[0].item()


def test_top_k_keeps_what_hardware_keeps_of_ties() -> None:
    scores = torch.tensor([[5.0, 1.0, 7.0, 7.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0], [0.0, -1.0, 9.0, 9.0, 9.0]])
    allowed = torch.tensor([[True] * 5, [True] * 5, [True, True, False, False, False]])
    keep = highest(scores, allowed, Decimal("0.4"))
    assert keep.tolist() == [[False, False, True, True, False], [True, True, False, False, False], [True] + [False] * 4]
    nothing = highest(scores[:1], torch.tensor([[False] * 5]), Decimal("0.4"))
    assert not nothing.any()


def test_a_row_that_keeps_nothing_puts_out_zeros() -> None:
    model = Own()
    dsa = attached(model, 1, 8, 16)
    keep = torch.ones(8, 8, dtype=torch.bool)
    keep[3] = False
    dsa.rule = Fixed(keep)
    x = torch.randn(1, 8, 16, requires_grad=True)
    with dsa:
        out = model(x)
    out.sum().backward()
    assert (out[0, 3] == 0).all()
    assert torch.isfinite(x.grad).all()


def test_the_oracle_orders_exact_scores_with_ties_to_the_lowest_key() -> None:
    exact = torch.tensor([[[[0.5, 0.5, -1.0, 2.0, 0.5]]]])
    every = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    keep = OracleTopK("0.4")(LayerScores(None, None, exact, every))
    assert keep.flatten().tolist() == [True, False, False, True, False]


def test_runs_under_other_masks_are_refused() -> None:
    """As many tokens, but padded, or padded elsewhere; the same padding twice is one mask."""
    model = Own()

    def run(tokens):
        model.mask = None if tokens is None else (torch.arange(12) < tokens).expand(1, 1, 12, 12)
        return model(torch.randn(1, 12, 16))

    for first, second in ((None, 7), (7, None), (7, 8)):
        with pytest.raises(TraceError, match="runs differ in length or mask"):
            attach(model, [lambda n=first: run(n), lambda n=second: run(n)], sigma="0.5", bits=4)
    attach(model, [lambda: run(7), lambda: run(7)], sigma="0.5", bits=4)


def test_what_cannot_be_done_is_said() -> None:
    model = Two()
    with pytest.raises(ConfigError, match="bits: 3; expected one of 2, 4, 8"):
        attached(model, 1, 8, 16, bits=3)
    with pytest.raises(ConfigError, match="sigma 2: "):
        attached(model, 1, 8, 16, sigma="2")
    with pytest.raises(ConfigError, match="sigma much: "):
        attach(Own(), [], sigma="much", bits=4)
    with pytest.raises(ConfigError, match="rank: 0"):
        attach(Own(), [], sigma="0.25", bits=4, rank=0)
    for density in ("0", "7", "few"):
        with pytest.raises(ConfigError, match=f"density {density}: expected"):
            TopK(density)
    with pytest.raises(TraceError, match="no runs"):
        attach(model, [], sigma="0.5", bits=4)
    short, long = torch.randn(1, 8, 16), torch.randn(1, 9, 16)
    with pytest.raises(TraceError, match="runs differ in length or mask"):
        attach(model, [lambda: model(short), lambda: model(long)], sigma="0.5", bits=4)
    linear = nn.Linear(16, 16)
    with pytest.raises(TraceError, match="attention that DSA cannot be put around"):
        attach(linear, [lambda: linear(short)], sigma="0.5", bits=4)
    dsa = attached(model, 1, 8, 16)
    with pytest.raises(TraceError, match="mse_loss: no forward pass"):
        dsa.mse_loss()
    model.layers.append(Own())
    with pytest.raises(TraceError, match=r"layers\.2 \(Own\): attention without a prediction path"), dsa:
        model(short)
