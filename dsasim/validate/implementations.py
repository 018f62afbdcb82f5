"""Sparse attention of one head three other ways, each in a few calls of PyTorch: [L_q, d_head] of a problem."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from dsasim.validate.problem import AttentionProblem

Attend = Callable[[AttentionProblem], Any]

GROSSLY_OFF = 0.1
"""Of outputs about 1: far above the rounding of any number type, far below a wrong kernel."""


def masked_sdpa(problem: AttentionProblem) -> Any:
    """`scaled_dot_product_attention` with the keep mask as its attention mask."""
    outputs = []
    for rows in problem.blocks():
        mask, bias = problem.kept(rows), problem.bias(rows)
        if bias is not None:
            mask = bias.masked_fill(~mask, -math.inf)
        of_head = (tensor[None, None] for tensor in (problem.q[rows], problem.k, problem.v))
        attend = torch.nn.functional.scaled_dot_product_attention
        outputs.append(attend(*of_head, attn_mask=mask, scale=problem.layer.scale)[0, 0])
    return torch.cat(outputs)


def sparse_csr(problem: AttentionProblem) -> Any:
    """`sampled_addmm` on the kept positions, softmax of the sparse matrix, its product with V."""
    return torch.cat([_sparse_rows(problem, rows) for rows in problem.blocks()])


def _sparse_rows(problem: AttentionProblem, rows: slice) -> Any:
    """The chain for a block of rows: every sparse tensor of it has the positions of the keep mask."""
    keep = problem.keep.block(rows.start, rows.stop - rows.start)
    parts = (keep.indptr, keep.indices, keep.rows)
    indptr, keys, row_of = (torch.from_numpy(part.astype("int64")).to(problem.device) for part in parts)
    shape = (rows.stop - rows.start, problem.layer.L_k)
    zeros = torch.zeros(keep.nnz, dtype=problem.dtype, device=problem.device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        positions = torch.sparse_csr_tensor(indptr, keys, zeros, shape, check_invariants=True)
    q, k = problem.q[rows].contiguous(), problem.k.T.contiguous()
    values = torch.sparse.sampled_addmm(positions, q, k, beta=0.0, alpha=problem.layer.scale).values()
    bias = problem.bias(rows)
    if bias is not None:
        values = values + bias[row_of, keys]
    coordinates = torch.stack([row_of, keys])
    scores = torch.sparse_coo_tensor(coordinates, values, shape, is_coalesced=True, check_invariants=True)
    return torch.sparse.softmax(scores, dim=1).to_sparse_csr() @ problem.v


class CompiledFlex:
    """FlexAttention under `torch.compile` with a BlockMask of the keep mask; compiled once a shape.

    `fullgraph` refuses what would silently run uncompiled. What a compiled kernel makes of random operands is compared
    with SDPA's first, once a shape: PyTorch 2.13 compiles some shapes wrongly for CPUs without AVX-512 (causal, 24 rows
    and keys of d_head 8: off by 2), which says nothing of the trace.
    """

    def __init__(self) -> None:
        from dsasim.validate.gpu.block_sparse import compiled_flex_attention

        self._attend = compiled_flex_attention()
        self._tried: set[tuple[int, ...]] = set()

    def __call__(self, problem: AttentionProblem) -> Any:
        """The problem's output; RuntimeError where it does not compile, or not rightly."""
        from torch.nn.attention.flex_attention import create_block_mask

        from dsasim.validate.gpu.block_sparse import many_shapes

        whole = slice(0, problem.layer.L_q)
        kept, bias = problem.kept(whole), problem.bias(whole)

        def is_kept(_batch: Any, _head: Any, row: Any, key: Any) -> Any:
            return kept[row, key]

        def biased(score: Any, _batch: Any, _head: Any, row: Any, key: Any) -> Any:
            return score + bias[row, key]

        blocks = create_block_mask(is_kept, 1, 1, problem.layer.L_q, problem.layer.L_k, device=problem.device)
        options = {"block_mask": blocks, "score_mod": None if bias is None else biased, "scale": problem.layer.scale}

        def attend(*operands: Any) -> Any:
            with many_shapes():
                return self._attend(*(tensor[None, None] for tensor in operands), **options)[0, 0]

        operands = (problem.q, problem.k, problem.v)
        sizes = (*problem.q.shape, *problem.k.shape)
        if sizes not in self._tried:
            _try_out(attend, operands, kept, bias, problem.layer.scale)
            self._tried.add(sizes)
        return attend(*operands)


def _try_out(attend: Callable[..., Any], like: Sequence[Any], kept: Any, bias: Any, scale: float) -> None:
    """RuntimeError where random operands of these sizes are attended to otherwise than by SDPA."""
    seeded = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(tensor.shape, generator=seeded).to(tensor) for tensor in like)
    mask = kept if bias is None else bias.masked_fill(~kept, -math.inf)
    other = torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask, scale=scale)[0]
    some = kept.any(dim=1)
    off = (attend(q, k, v) - other)[some].abs().max().item() if some.any() else 0.0
    if not off <= GROSSLY_OFF:  # NaN is not
        raise RuntimeError(f"its kernel for {len(q)} x {len(k)} of d_head {q.shape[1]} is off SDPA's by {off:.2g}")
