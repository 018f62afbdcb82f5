"""The column-vector kernel in Triton's interpreter against float64, and its encoding by hand."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.vector_kernel import column_vector_attention
from dsasim.validate.gpu.vectors import encode

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def exact(q, k, v, keep, scale):
    shared = q.shape[0] // k.shape[0]
    k, v = (part.double().repeat_interleave(shared, 0) for part in (k, v))
    scores = (scale * q.double() @ k.mT).masked_fill(~keep, float("-inf"))
    return torch.softmax(scores, -1).nan_to_num(0.0) @ v


def operands(heads, kv_heads, L_q, L_k, d_head, dtype=torch.float32):
    made = torch.Generator().manual_seed(heads * 1000 + L_q)
    shapes = ((heads, L_q, d_head), (kv_heads, L_k, d_head), (kv_heads, L_k, d_head))
    return tuple(torch.randn(shape, generator=made).to(DEVICE, dtype) for shape in shapes)


def test_encoding_worked_example():
    keep = torch.tensor([[[1, 0, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]]], dtype=torch.bool)
    vectors = encode(keep, 2)
    assert vectors.keys.tolist() == [0, 2, 3, 1]
    assert vectors.wanted.tolist() == [0b01, 0b11, 0b10, 0b01]
    assert vectors.offsets.tolist() == [0, 3, 4]
    assert (vectors.num_groups, vectors.num_vectors) == (2, 4)


def test_only_powers_of_two():
    with pytest.raises(ValueError, match="3 rows a vector"):
        encode(torch.ones(1, 4, 4, dtype=torch.bool), 3)


@pytest.mark.parametrize("rows", [1, 4, 8])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "L_q", "L_k", "d_head"),
    [(2, 2, 16, 16, 16), (4, 2, 13, 70, 32), (1, 1, 1, 129, 24), (2, 1, 31, 64, 64)],
)
def test_equals_exact_attention(rows, heads, kv_heads, L_q, L_k, d_head):
    """Groups that are short, more keys than a block, head sizes that are no power of two, rows that keep nothing."""
    q, k, v = operands(heads, kv_heads, L_q, L_k, d_head)
    keep = torch.rand(heads, L_q, L_k, generator=torch.Generator().manual_seed(rows)).to(DEVICE) < 0.2
    keep[:, -1] = False
    out = column_vector_attention(q, k, v, encode(keep, rows), d_head**-0.5)
    expected = exact(q, k, v, keep, d_head**-0.5)
    assert (out[:, -1] == 0).all()
    assert torch.linalg.norm(out.double() - expected) <= 1e-6 * max(1.0, torch.linalg.norm(expected).item())


def test_half_precision():
    q, k, v = operands(2, 2, 32, 96, 64, torch.float16)
    keep = torch.rand(2, 32, 96, generator=torch.Generator().manual_seed(1)).to(DEVICE) < 0.3
    out = column_vector_attention(q, k, v, encode(keep, 8), 0.125)
    expected = exact(q, k, v, keep, 0.125)
    assert torch.linalg.norm(out.double() - expected) < 1e-2 * torch.linalg.norm(expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("rows", [4, 8])
def test_the_column_vectors_of_a_case_are_the_mask_it_says(rows, causal):
    """Each group keeps max(1, ceil(density x seen by its last row)); the kernel agrees with float64 on it."""
    case = Case(70, 2, 16, 0.1, "cpu", torch.float32, causal)
    kept = case.vector_keys(rows)
    seen = [min(rows * (group + 1), 70) if causal else 70 for group in range(-(-70 // rows))]
    assert kept.sum(2).tolist() == [[-(-number // 10) for number in seen]] * 2
    q, k, v = case.qkv
    out = column_vector_attention(q, k, v, case.vectors(rows), case.scale)
    mask = kept.repeat_interleave(rows, 1)[:, :70] & case.sees(torch.arange(70))
    scores = (case.scale * q.double() @ k.double().mT).masked_fill(~mask, float("-inf"))
    expected = torch.softmax(scores, -1).nan_to_num(0.0) @ v.double()
    assert torch.allclose(out.double(), expected, atol=1e-5)
