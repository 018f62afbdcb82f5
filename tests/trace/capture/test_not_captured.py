"""Attention that cannot be captured is named, beside attention that is; alone it is an error."""

import threading
import warnings

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from dsasim import TraceError, capture
from dsasim.trace.capture.session import CaptureWarning

pytestmark = pytest.mark.torch

HEADS, WIDTH, D_HEAD, L = 4, 16, 4, 11


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class Mixer(nn.Module):
    """Projections and an attention of q, k, v [B, H, L, d_head] as `spelling` has it."""

    def __init__(self, spelling):
        super().__init__()
        self.projection = nn.Linear(WIDTH, 3 * WIDTH)
        self.spelling = spelling

    def forward(self, x):
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        return self.spelling(q, k, v).transpose(1, 2).flatten(2)


class Beside(nn.Module):
    """One layer whose attention is captured, and one with another."""

    def __init__(self, other):
        super().__init__()
        self.plain = Mixer(nn.functional.scaled_dot_product_attention)
        self.other = other

    def forward(self, x):
        return self.other(self.plain(x))


def linear_right(q, k, v):
    return q.softmax(-1) @ (k.softmax(-2).mT @ v)


def linear_left(q, k, v):
    return ((q @ k.mT) / L) @ v


def linear_einsum(q, k, v):
    return torch.einsum("bhld,bhdm->bhlm", q, torch.einsum("bhld,bhlm->bhdm", k, v))


def linear_factored(q, k, v):
    return (q + 1) @ ((k + 1).mT @ v)


def by_hand_exponential(q, k, v):
    weights = (q @ k.mT).exp()
    return weights / weights.sum(-1, keepdim=True) @ v


def sink(q, k, v):
    return torch.cat([q @ k.mT, torch.ones(*q.shape[:-1], 1)], -1).softmax(-1)[..., :-1] @ v


def scaled_afterwards(q, k, v):
    return ((q @ k.mT).softmax(-1) * 0.5) @ v


def distances(q, k, v):
    return (-torch.cdist(q, k)).softmax(-1) @ v


def broadcast_scores(q, k, v):
    return (q[..., :, None, :] * k[..., None, :, :]).sum(-1).softmax(-1) @ v


def broadcast_values(q, k, v):
    weights = (q @ k.mT).softmax(-1)
    return (weights[..., None] * v[..., None, :, :]).sum(-2)


def broadcast_everything(q, k, v):
    weights = (q[..., :, None, :] * k[..., None, :, :]).sum(-1).softmax(-1)
    return (weights[..., None] * v[..., None, :, :]).sum(-2)


def three_operands(q, k, v):
    weights = torch.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1)
    return torch.einsum("bhqk,bhkd,de->bhqe", weights, v, torch.eye(D_HEAD))


def three_operand_scores(q, k, v):
    return torch.einsum("bhqd,bhkd,h->bhqk", q, k, torch.ones(HEADS)).softmax(-1) @ v


def halves(q, k, v):
    first, second = (q @ k.mT).softmax(-1).chunk(2, -2)
    return torch.cat([first @ v, second @ v], -2)


def gumbel(q, k, v):
    return nn.functional.gumbel_softmax(q @ k.mT, dim=-1) @ v


class Scripted(nn.Module):
    def forward(self, q, k, v):
        return torch.softmax(q @ k.transpose(-2, -1), -1) @ v


class ScriptedFused(nn.Module):
    def forward(self, q, k, v):
        return nn.functional.scaled_dot_product_attention(q, k, v)


@torch.library.custom_op("dsasim_tests::my_attention", mutates_args=())
def own_kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (q @ k.mT).softmax(-1) @ v


def scripted(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module)


LOST = "could not be followed: "
UNKNOWN = LOST + "what went into softmax is no product"
TWO_PRODUCTS = LOST + "two products without a softmax"
NO_VALUES = "the probabilities of a softmax met no values in a product"
SPELLINGS = [
    (linear_right, UNKNOWN),
    (linear_left, TWO_PRODUCTS),
    (linear_einsum, TWO_PRODUCTS),
    (linear_factored, TWO_PRODUCTS),
    (by_hand_exponential, TWO_PRODUCTS),
    (sink, LOST + "cat made"),
    (scaled_afterwards, r"rebuilt from q, k, v, mask and scale is off by 1 \(rel. L2\)"),
    (distances, UNKNOWN),
    (broadcast_scores, UNKNOWN),
    (broadcast_values, NO_VALUES),
    (broadcast_everything, NO_VALUES),
    (three_operands, LOST + "probabilities in einsum of more than two operands"),
    (three_operand_scores, UNKNOWN),
    (halves, NO_VALUES),
    (gumbel, LOST),
    (own_kernel, LOST + "dsasim_tests.my_attention.default ran inside"),
    (lambda q, k, v: scripted(Scripted())(q, k, v), LOST + r"aten\._softmax\.default ran inside code that is not"),
    (lambda q, k, v: scripted(ScriptedFused())(q, k, v), LOST + r"aten\._scaled_dot_product_\w+\.default ran inside"),
]
IDS = [getattr(spelling, "__name__", getattr(spelling, "_name", "")) for spelling, _ in SPELLINGS]


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(("spelling", "reason"), SPELLINGS, ids=IDS)
def test_it_is_named_beside_what_is_captured(spelling, reason):
    model = Beside(Mixer(spelling))
    with pytest.warns(CaptureWarning, match=f"other.*{reason}"), torch.no_grad(), capture(model) as trace:
        model(torch.randn(1, L, WIDTH))
    assert [layer["module"] for layer in trace.provenance()["layers"]] == ["plain"]
    assert trace.provenance()["not_captured"] == trace.not_captured
    assert all("other" in text for text in trace.not_captured)


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(("spelling", "reason"), SPELLINGS, ids=IDS)
def test_alone_it_is_an_error(spelling, reason):
    model = Mixer(spelling)
    with pytest.warns(CaptureWarning, match=reason), torch.no_grad(), capture(model) as trace:
        model(torch.randn(1, L, WIDTH))
    with pytest.raises(TraceError, match=f"no attention was captured\n(.*\n)*.*{reason}"):
        trace.save("nowhere.safetensors")


class HiddenAttention(nn.Module):
    """Nothing of it is a tensor function of a known name: the name of its class gives it away."""

    def forward(self, x):
        return x.flip(1) * x.cumsum(1)


class InAThread(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x):
        out = []
        thread = threading.Thread(target=lambda: out.append(self.inner(x, x, x)[0]))
        thread.start()
        thread.join()
        return out[0]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (HiddenAttention(), r"other \(HiddenAttention\) ran, and no attention was seen in it"),
        (InAThread(), r"other\.inner \(MultiheadAttention\) ran in another thread"),
    ],
)
def test_what_no_function_shows_is_told_by_class_name(module, reason):
    model = Beside(module)
    with pytest.warns(CaptureWarning, match=reason), torch.no_grad(), capture(model) as trace:
        model(torch.randn(1, L, WIDTH))
    assert len(trace.layers) == 1


def test_heads_mixed_by_weights_are_named():
    class Talking(nn.Module):
        def __init__(self):
            super().__init__()
            self.projection, self.mix = nn.Linear(WIDTH, 3 * WIDTH), nn.Conv2d(HEADS, HEADS, 1)

        def forward(self, x):
            q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
            return self.mix(q @ k.mT).softmax(-1) @ v

    model = Talking()
    with pytest.warns(CaptureWarning, match=UNKNOWN), torch.no_grad(), capture(model) as trace:
        model(torch.randn(1, L, WIDTH))
    assert not trace.layers


def test_what_vmap_hides_is_lost_and_the_model_runs_on():
    model, x = Mixer(lambda q, k, v: (q @ k.mT).softmax(-1) @ v), torch.randn(3, 1, L, WIDTH)
    with torch.no_grad():
        plain = torch.vmap(model)(x)
        with pytest.warns(CaptureWarning, match="could not be followed: matmul: RuntimeError: vmap"), capture(model):
            assert torch.equal(torch.vmap(model)(x), plain)


def test_a_scripted_model_is_refused():
    with pytest.raises(TraceError, match="TorchScript model does not show its inside"):
        capture(scripted(nn.Linear(2, 2)))


@pytest.mark.filterwarnings("ignore:a mixture of experts")
def test_nothing_is_said_of_softmaxes_that_are_no_attention():
    class Router(nn.Module):
        """Softmax over a projection weighs experts and classes; position angles are an outer product."""

        def __init__(self):
            super().__init__()
            self.gate, self.head = nn.Linear(WIDTH, 3), nn.Linear(WIDTH, 5)
            self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
            self.stacked = nn.Parameter(torch.randn(3, WIDTH, WIDTH))

        def forward(self, x):
            angles = torch.arange(L).float()[:, None] * torch.rand(WIDTH)[None]
            x = x + angles.sin()
            weights = self.gate(x).softmax(-1)
            x = x + sum(weights[..., at, None] * expert(x) for at, expert in enumerate(self.experts))
            rows = x.flatten(0, 1)
            chosen = self.stacked[weights.argmax(-1).flatten()]
            hidden = torch.bmm(chosen, rows[..., None]).relu()
            x = torch.bmm(chosen, hidden).squeeze(-1).view_as(x)
            return self.head(x).softmax(-1)

    model = Beside(Router())
    with torch.no_grad(), capture(model) as trace:  # a warning is an error here
        model(torch.randn(1, L, WIDTH))
    assert (len(trace.layers), trace.not_captured) == (1, [])


class Fragile(nn.Module):
    """Two layers; the second raises while `broken`."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Mixer(nn.functional.scaled_dot_product_attention) for _ in range(2))
        self.broken = True

    def forward(self, x):
        x = self.layers[0](x)
        if self.broken:
            raise ValueError("broken")
        return self.layers[1](x)


def test_a_forward_pass_that_raised_is_said():
    model = Fragile()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with capture(model) as trace:
            with pytest.raises(ValueError, match="broken"):
                model(torch.randn(1, L, WIDTH))
            model.broken = False
            model(torch.randn(1, L, WIDTH))
    reason = "forward pass 0 ended with ValueError: what came after it is missing"
    assert reason in [str(warning.message) for warning in warned]
    assert trace.provenance()["not_captured"] == [reason]


def test_an_error_that_leaves_the_block_is_in_the_trace_that_is_saved_all_the_same(tmp_path):
    model = Fragile()
    with pytest.raises(ValueError, match="broken"), capture(model) as trace:
        model(torch.randn(1, L, WIDTH))
    assert trace.not_captured == ["forward pass 0 ended with ValueError: what came after it is missing"]


def test_a_model_run_where_an_error_is_handled_did_not_raise():
    model = Fragile()
    model.broken = False
    with warnings.catch_warnings():
        warnings.simplefilter("error", CaptureWarning)
        with capture(model) as trace:
            try:
                raise KeyError("another")
            except KeyError:
                model(torch.randn(1, L, WIDTH))
    assert trace.not_captured == []


def test_an_input_changed_in_place_before_its_attention_is_said():
    class InPlace(Mixer):
        def forward(self, x):
            x.sub_(x.mean(-1, keepdim=True))
            return super().forward(x)

    model = InPlace(nn.functional.scaled_dot_product_attention)
    with torch.no_grad(), pytest.warns(CaptureWarning, match="changed in place"), capture(model) as trace:
        model(torch.randn(1, L, WIDTH))
    assert len(trace.layers) == 1


def test_double_precision_leaves_no_rounding_as_a_bias():
    def eager(q, k, v):
        return (q @ k.mT / D_HEAD**0.5).softmax(-1) @ v

    with capture(Mixer(eager).double()) as trace:
        trace._model(torch.randn(1, L, WIDTH, dtype=torch.float64))
    assert trace.layers[0].bias is None


def test_a_model_that_runs_in_another_thread_only_is_told_why():
    class Attention(Mixer):
        pass

    model = Attention(nn.functional.scaled_dot_product_attention)
    thread = threading.Thread(target=model, args=(torch.randn(1, L, WIDTH),))
    elsewhere = capture(model)
    elsewhere.__enter__()
    thread.start()
    thread.join()
    with pytest.raises(TraceError, match=r"ran 0 forward passes\n.*in another thread"):
        elsewhere.__exit__(None, None, None)


def test_an_operand_changed_in_place_after_its_product_is_said():
    def eager(q, k, v):
        q = q.clone()
        scores = q @ k.mT / 2
        q.mul_(3.0)
        return scores.softmax(-1) @ v

    model, warned = Beside(Mixer(eager)), pytest.warns(CaptureWarning, match="changed in place after their product")
    with torch.no_grad(), warned, capture(model) as trace:
        model(torch.randn(1, L, WIDTH))
    assert len(trace.layers) == 1


def test_an_input_that_a_later_hook_replaced_is_said():
    model = Mixer(nn.functional.scaled_dot_product_attention)
    watched = capture(model)
    watched.__enter__()
    model.register_forward_pre_hook(lambda _, args: (2 * args[0],))
    model(torch.randn(1, L, WIDTH))
    with pytest.warns(CaptureWarning, match="a hook set after the capture began replaced its input"):
        watched.__exit__(None, None, None)
