"""What a model multiplies q, k or their product by is scale, sign included, and no part of a bias."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from attention_rebuilt import rebuilt, rel_l2

from dsasim import capture

pytestmark = pytest.mark.torch
HEADS, WIDTH, D_HEAD, L = 4, 16, 4, 9
MASK = torch.full((L, L), -torch.inf).triu(1)


class Spelled(nn.Module):
    def __init__(self, scores):
        super().__init__()
        self.projection, self.scores = nn.Linear(WIDTH, 3 * WIDTH), scores
        self.temperature = nn.Parameter(torch.rand(HEADS, 1, 1) + 0.5)

    def forward(self, x):
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        return self.scores(q, k, self.temperature).softmax(-1) @ v


def minus_in_place(q, k, t):
    return (q @ k.mT).neg_()


def over_the_keys_first(q, k, t):
    return (k @ q.mT * t / torch.arange(1, L + 1)[:, None]).mT


def heads_split_after_the_product(q, k, t):
    return torch.bmm(q.flatten(0, 1), k.flatten(0, 1).mT).unflatten(0, q.shape[:2]) * t


# the product's sign and size, and whether a bias is left
SCORES = [
    (lambda q, k, t: -(q @ k.mT), 1.0, False),
    (lambda q, k, t: (q @ k.mT) * -1, 1.0, False),
    (lambda q, k, t: -2 * (q @ k.mT), 2.0, False),
    (lambda q, k, t: torch.neg(q @ k.mT) / 4, 0.25, False),
    (lambda q, k, t: 0 - (q @ k.mT), 1.0, False),
    (lambda q, k, t: torch.zeros(L, L) - (q @ k.mT), 1.0, False),
    (lambda q, k, t: torch.rsub(q @ k.mT, 0.0), 1.0, False),
    (lambda q, k, t: -q @ k.mT, 1.0, False),
    (lambda q, k, t: torch.einsum("bhqd,bhkd->bhqk", q, k).negative(), 1.0, False),
    (lambda q, k, t: torch.baddbmm(torch.zeros(1), q[0], k[0].mT, beta=0, alpha=-0.5)[None], 0.5, False),
    (lambda q, k, t: (q @ k.mT + MASK) / 3, 1 / 3, False),
    (lambda q, k, t: (q @ k.mT).masked_fill(MASK < 0, -torch.inf).div(torch.tensor(3.0)), 1 / 3, False),
    (lambda q, k, t: (q @ k.mT + 0.5 * torch.arange(L)) * 0.5, 0.5, True),
    (lambda q, k, t: -(q @ k.mT + 0.5 * torch.arange(L)), 1.0, True),
    (lambda q, k, t: (q @ k.mT) * t, 1.0, False),
    (lambda q, k, t: (q @ k.mT) / t.square(), 1.0, False),
    (lambda q, k, t: (q @ k.mT) * torch.arange(1, L + 1)[:, None], 1.0, False),
    (lambda q, k, t: (q @ k.mT) * (torch.arange(L) - 3.5), 1.0, False),
    (lambda q, k, t: torch.mul(other=q @ k.mT, input=torch.tensor(0.5)), 0.5, False),
    (minus_in_place, 1.0, False),
    (over_the_keys_first, 1.0, False),
    (heads_split_after_the_product, 1.0, False),
]


@pytest.mark.parametrize(("scores", "scale", "bias"), SCORES)
def test_factors_are_scale_and_not_bias(scores, scale, bias):
    torch.manual_seed(0)
    model, x = Spelled(scores), torch.randn(1, L, WIDTH)
    with torch.no_grad(), capture(model, dtype="float32") as trace:
        out = model(x)
    (layer,) = trace.trace
    assert layer.scale == pytest.approx(scale)
    assert (layer.bias(0) is not None) == bias
    assert rel_l2(rebuilt(layer), out[0].numpy()) < 1e-5


def test_a_minus_is_in_q_since_a_trace_has_positive_scales():
    torch.manual_seed(0)
    x = torch.randn(1, L, WIDTH)
    plus, minus = Spelled(lambda q, k, t: q @ k.mT), Spelled(lambda q, k, t: -(q @ k.mT))
    minus.load_state_dict(plus.state_dict())
    layers = []
    for model in (plus, minus):
        with torch.no_grad(), capture(model) as trace:
            model(x)
        layers += list(trace.trace)
    assert np.array_equal(layers[0].q(1), -layers[1].q(1))
    assert np.array_equal(layers[0].k(1), layers[1].k(1))


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (lambda q, k, t: torch.tanh(q @ k.mT), "tanh"),
        (lambda q, k, t: (q @ k.mT).clamp(-1, 1), "clamp"),
        (lambda q, k, t: (q @ k.mT) * torch.rand(L, L), "a factor for each position"),
        (lambda q, k, t: 1 / (q @ k.mT).exp(), "exp"),
        (lambda q, k, t: (q @ k.mT).square(), "square"),
    ],
)
def test_what_is_neither_scale_nor_bias_is_stored_as_a_bias_and_said(scores, reason):
    torch.manual_seed(0)
    model, x = Spelled(scores), torch.randn(1, L, WIDTH)
    with (
        pytest.warns(UserWarning, match=f"its scores went through {reason}"),
        torch.no_grad(),
        capture(model, dtype="float32") as trace,
    ):
        out = model(x)
    (layer,) = trace.trace
    assert layer.bias(0) is not None
    assert rel_l2(rebuilt(layer), out[0].numpy()) < 1e-5
