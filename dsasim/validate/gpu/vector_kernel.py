"""Attention on column vectors in Triton: SDDMM, softmax and SpMM of one group of query rows in one pass.

One program takes T query rows of a head, walks their shared keys BLOCK at a time, gathers those K and V rows once for
all T, and keeps a running maximum and sum (online softmax, Milakov and Gimelshein 2018, arXiv 1805.02867). Tensor cores
want 16 rows, so T rows are padded to 16; the gathers, which bound the time, are not.
Without a GPU the same kernel runs in Triton's interpreter (TRITON_INTERPRET=1), which checks results, not speed.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from dsasim.validate.gpu.vectors import MAX_ROWS, ColumnVectors

BLOCK_KEYS = 64


@triton.jit
def _attend(
    q, k, v, out, keys, wanted, offsets, scale, L_q, L_k, num_groups, queries_per_kv,
    T: tl.constexpr, ROWS: tl.constexpr, D: tl.constexpr, D_PADDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    group, head = tl.program_id(0), tl.program_id(1)
    kv_head = head // queries_per_kv
    t = tl.arange(0, ROWS)
    row = group * T + t
    column = tl.arange(0, D_PADDED)
    in_head = column < D
    here = (t < T) & (row < L_q)
    at_q = (head * L_q + row)[:, None] * D + column[None, :]
    inside = here[:, None] & in_head[None, :]
    q_rows = tl.load(q + at_q, mask=inside, other=0.0)
    largest = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    summed = tl.zeros((ROWS, D_PADDED), tl.float32)
    first = tl.load(offsets + head * num_groups + group)
    end = tl.load(offsets + head * num_groups + group + 1)
    for start in range(first, end, BLOCK):
        at = start + tl.arange(0, BLOCK)
        there = at < end
        key = tl.load(keys + at, mask=there, other=0)
        bits = tl.load(wanted + at, mask=there, other=0)
        at_kv = (kv_head * L_k + key)[:, None] * D + column[None, :]
        gathered = there[:, None] & in_head[None, :]
        k_rows = tl.load(k + at_kv, mask=gathered, other=0.0)
        scores = tl.dot(q_rows, tl.trans(k_rows), input_precision="ieee") * scale
        scores = tl.where(((bits[None, :] >> t[:, None]) & 1) == 1, scores, float("-inf"))
        now = tl.maximum(largest, tl.max(scores, 1))
        # a row that has kept nothing yet has no maximum: -inf - -inf would be NaN
        shift = tl.where(now == float("-inf"), 0.0, now)
        weights = tl.exp(scores - shift[:, None])
        shrink = tl.exp(largest - shift)
        v_rows = tl.load(v + at_kv, mask=gathered, other=0.0)
        total = total * shrink + tl.sum(weights, 1)
        summed = summed * shrink[:, None] + tl.dot(weights.to(v_rows.dtype), v_rows, input_precision="ieee")
        largest = now
    tl.store(out + at_q, (summed / tl.where(total == 0.0, 1.0, total)[:, None]).to(out.dtype.element_ty), mask=inside)


def column_vector_attention(q: Any, k: Any, v: Any, mask: ColumnVectors, scale: float) -> Any:
    """Attention [num_heads, L_q, d_head] over the kept positions; rows that keep nothing are zero.

    q [num_heads, L_q, d_head], k and v [num_kv_heads, L_k, d_head], contiguous, of one type and device.
    """
    num_heads, L_q, d_head = q.shape
    out = torch.empty_like(q)
    _attend[(mask.num_groups, num_heads)](
        q, k, v, out, mask.keys, mask.wanted, mask.offsets, scale, L_q, k.shape[1], mask.num_groups,
        num_heads // k.shape[0],
        T=mask.rows, ROWS=MAX_ROWS, D=d_head, D_PADDED=max(16, triton.next_power_of_2(d_head)), BLOCK=BLOCK_KEYS,
    )  # fmt: skip
    return out
