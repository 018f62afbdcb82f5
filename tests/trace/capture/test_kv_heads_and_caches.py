"""Keys and values are stored once a kv head, and only then; and a cache that drops keys drops their inputs."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from attention_rebuilt import rebuilt, rel_l2

from dsasim import capture
from dsasim.trace.capture.call import Sample, without_trailing_keys

pytestmark = pytest.mark.torch
HEADS, WIDTH, D_HEAD, L, KEPT = 4, 16, 4, 9, 5


class Repeated(nn.Module):
    """Attention whose keys and values are those of the numbered heads; `mask` [1 or HEADS, L, L] is added if given."""

    def __init__(self, keys: list[int], values: list[int], mask: Any = None) -> None:
        super().__init__()
        self.projection, self.keys, self.values, self.mask = nn.Linear(WIDTH, 3 * WIDTH), keys, values, mask

    def forward(self, x: Any) -> Any:
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        k, v = k[:, self.keys], v[:, self.values]
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)


class WrittenOut(Repeated):
    """The same as products and a softmax."""

    def forward(self, x: Any) -> Any:
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        k, v = k[:, self.keys], v[:, self.values]
        scores = q @ k.mT / D_HEAD**0.5
        return (scores if self.mask is None else scores + self.mask).softmax(-1) @ v


class Sliding(nn.Module):
    """Attention with a cache of the last KEPT keys, a forward pass a token."""

    def __init__(self) -> None:
        super().__init__()
        self.projection, self.cache = nn.Linear(WIDTH, 3 * WIDTH), None

    def forward(self, x: Any) -> Any:
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        if self.cache is not None:
            k, v = (torch.cat([old, new], 2)[:, :, -KEPT:] for old, new in zip(self.cache, (k, v), strict=True))
        self.cache = k, v
        return nn.functional.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("dtype", [np.bool_, np.float32])
@pytest.mark.parametrize("seen", [None, 0, 3])
def test_only_slots_that_no_row_sees_are_free(seen: int | None, dtype: type) -> None:
    """Of 7 slots of a static cache 5 are filled: the others go, unless one row of one head may see one of them."""
    allowed = np.zeros((2, 4, 7), np.bool_)
    allowed[:, :, :5] = True
    if seen is not None:
        allowed[1, seen, 6] = True
    mask = allowed if dtype is np.bool_ else np.where(allowed, 0, -1e9).astype(dtype)
    part = np.arange(2 * 7 * 3, dtype=np.float32).reshape(2, 7, 3)
    sample = Sample(part[:, :4], part, part, part[:, :4], mask)
    found = without_trailing_keys(sample, 5)
    keys = 5 if seen is None else 7
    assert np.array_equal(found.k, part[:, :keys])
    assert np.array_equal(found.v, part[:, :keys])
    assert np.array_equal(found.mask, mask[:, :, :keys])


def captured(model: nn.Module, x: Any) -> tuple[Any, np.ndarray]:
    """The layer of a trace, and what the model returned of the first sample."""
    with torch.no_grad(), capture(model, dtype="float32") as trace:
        out = model(x)
    (layer,) = trace.trace
    return layer, out[0].numpy()


@pytest.mark.parametrize("kind", [Repeated, WrittenOut])
@pytest.mark.parametrize(
    ("keys", "values", "kv_heads"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 2),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1),
        ([0, 0, 1, 2], [0, 0, 1, 2], 4),
        ([0, 0, 0, 1], [0, 0, 0, 1], 4),
        ([0, 0, 1, 1], [0, 1, 2, 3], 4),
        ([0, 0, 0, 0], [0, 0, 1, 1], 2),
        ([0, 1, 2, 3], [0, 0, 1, 1], 4),
        ([0, 1, 0, 1], [0, 1, 0, 1], 4),
    ],
)
def test_heads_that_differ_are_not_folded(kind: type, keys: list[int], values: list[int], kv_heads: int) -> None:
    torch.manual_seed(0)
    layer, out = captured(kind(keys, values), torch.randn(1, L, WIDTH))
    assert (layer.num_kv_heads, layer.bias(0)) == (kv_heads, None)
    assert rel_l2(rebuilt(layer), out) < 1e-5


@pytest.mark.parametrize("kind", [Repeated, WrittenOut])
def test_each_head_keeps_its_own_bias(kind: type) -> None:
    torch.manual_seed(0)
    slopes = 2.0 ** -torch.arange(1, HEADS + 1)
    bias = slopes[:, None, None] * (torch.arange(L) - torch.arange(L)[:, None])
    layer, out = captured(kind([0, 0, 1, 1], [0, 0, 1, 1], bias), torch.randn(1, L, WIDTH))
    for head in range(HEADS):
        np.testing.assert_allclose(layer.bias(head), bias[head], atol=1e-5)
    assert rel_l2(rebuilt(layer), out) < 1e-5


class HalfScores(Repeated):
    """Scores computed in bfloat16, everything else in float32."""

    def forward(self, x: Any) -> Any:
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        scores = (q.bfloat16() @ k.bfloat16().mT).float()
        return scores.softmax(-1) @ v


def test_rounding_of_the_scores_is_no_bias() -> None:
    torch.manual_seed(0)
    layer, _ = captured(HalfScores([], []), 3 * torch.randn(1, L, WIDTH))
    assert [layer.bias(head) for head in range(HEADS)] == [None] * HEADS


@pytest.mark.filterwarnings("ignore:.*masks differ between heads")
def test_a_position_that_one_head_may_not_see_is_the_others_still() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(HEADS, L, L)
    mask[1, :, 4] = -torch.inf
    mask[:, :, 6] = -torch.inf
    layer, out = captured(Repeated([0, 1, 2, 3], [0, 1, 2, 3], mask), torch.randn(1, L, WIDTH))
    assert layer.allowed().all(axis=0).tolist() == [key != 6 for key in range(L)]
    assert rel_l2(rebuilt(layer), out) < 1e-5


@pytest.mark.filterwarnings("ignore:.*later forward passes")
@pytest.mark.parametrize("step", [2, 7])
def test_a_sliding_cache_drops_the_oldest_inputs(step: int) -> None:
    torch.manual_seed(0)
    model, x = Sliding(), torch.randn(1, L, WIDTH)
    with torch.no_grad(), capture(model, step=step, dtype="float32") as trace:
        outputs = [model(x[:, at : at + 1]) for at in range(L)]
    (layer,) = trace.trace
    assert layer.L_k == min(step + 1, KEPT)
    np.testing.assert_array_equal(layer.x_kv(), x[0, max(0, step + 1 - KEPT) : step + 1])
    assert rel_l2(rebuilt(layer), outputs[step][0].numpy()) < 1e-5


class Dropping(Repeated):
    """Probabilities that go through dropouts of these shares, each with whether it is on."""

    def __init__(self, *dropouts: tuple[float, bool]) -> None:
        super().__init__([0, 1, 2, 3], [0, 1, 2, 3])
        self.dropouts = dropouts

    def forward(self, x: Any) -> Any:
        q, k, v = self.projection(x).unflatten(-1, (3, HEADS, D_HEAD)).permute(2, 0, 3, 1, 4)
        probabilities = (q @ k.mT).softmax(-1)
        for share, on in self.dropouts:
            probabilities = nn.functional.dropout(probabilities, share, on)
        return probabilities @ v


@pytest.mark.parametrize(
    ("dropouts", "said"),
    [(((0.5, True), (0.25, False)), 0.5), (((0.25, True), (0.5, True)), 0.5), (((0.5, False), (0.25, True)), 0.25)],
)
def test_a_dropout_that_is_off_hides_none_that_is_on(dropouts: tuple[tuple[float, bool], ...], said: float) -> None:
    torch.manual_seed(0)
    model = Dropping(*dropouts)
    with pytest.warns(UserWarning, match=f"dropout of {said} was on"), torch.no_grad(), capture(model):
        model(torch.randn(1, L, WIDTH))
