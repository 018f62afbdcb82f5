"""The kernels that are measured, by name: each makes a call without arguments from a case, or says why it cannot."""

from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from dsasim.validate.gpu.block_sparse import block_mask, compiled_flex_attention, many_shapes, no_compiler
from dsasim.validate.gpu.case import BLOCK, Case
from dsasim.validate.gpu.timing import as_timed

Call = Callable[[], Any]

SIGMA = 0.25
"""Columns of the ternary projection a column of X: the paper's usual setting."""


class UnavailableError(Exception):
    """A kernel does not run here; the message says why."""


def first_line(error: Exception) -> str:
    """What an error of PyTorch says, without its pages of traces."""
    return str(error).strip().partition("\n")[0][:200]


def sdpa(backend: SDPBackend, case: Case) -> Call:
    """Dense attention by one backend of PyTorch."""
    q, k, v = (part[None] for part in case.qkv)

    def call() -> Any:
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(q, k, v, scale=case.scale)

    try:
        call()
    except RuntimeError as error:
        raise UnavailableError(f"PyTorch has no {backend.name} here") from error
    return call


def flex_blocks(case: Case) -> Call:
    """Block-sparse attention by compiled FlexAttention."""
    if reason := no_compiler(case.device):
        raise UnavailableError(reason)
    q, k, v = (part[None] for part in case.qkv)
    mask = block_mask(case.blocks, BLOCK, case.L, case.L)
    attend = compiled_flex_attention()

    def call() -> Any:
        return attend(q, k, v, block_mask=mask, scale=case.scale)

    try:
        with many_shapes(), as_timed(case.device):
            call()
    except RuntimeError as error:
        raise UnavailableError(f"FlexAttention does not compile: {first_line(error)}") from error
    return call


def column_vectors(rows: int, case: Case) -> Call:
    """Column-vector sparse attention by the Triton kernel."""
    if case.device != "cuda":
        raise UnavailableError("Triton's interpreter has the results of a GPU, not its speed")
    try:
        from dsasim.validate.gpu.vector_kernel import column_vector_attention
    except ModuleNotFoundError as error:
        raise UnavailableError("Triton is not installed: pip install triton") from error
    mask = case.vectors(rows)
    return lambda: column_vector_attention(*case.qkv, mask, case.scale)


def prediction(case: Case) -> Call:
    """DSA's prediction: X P, Q~, K~, S~ = Q~ K~^T and the row's top-k, as plain products of the case's type."""
    width = case.num_heads * case.d_head
    rank = max(1, ceil(SIGMA * case.d_head))
    projected = case.num_heads * rank
    made = torch.Generator().manual_seed(4)
    shapes = ((case.L, width), (width, projected), (projected, projected), (projected, projected))
    x, p, w_q, w_k = (torch.randn(shape, generator=made).to(case.device, case.dtype) for shape in shapes)
    kept = max(1, ceil(case.density * case.L))

    def call() -> Any:
        z = x @ p
        q, k = ((z @ w).view(case.L, case.num_heads, rank).transpose(0, 1) for w in (w_q, w_k))
        return (q @ k.mT).topk(kept, dim=-1, sorted=False).indices

    return call


DENSE: Mapping[str, Callable[[Case], Call]] = {
    "sdpa_flash": partial(sdpa, SDPBackend.FLASH_ATTENTION),
    "sdpa_efficient": partial(sdpa, SDPBackend.EFFICIENT_ATTENTION),
    "sdpa_cudnn": partial(sdpa, SDPBackend.CUDNN_ATTENTION),
    "sdpa_math": partial(sdpa, SDPBackend.MATH),
}
SPARSE: Mapping[str, Callable[[Case], Call]] = {
    "flex_blocks": flex_blocks,
    "vectors_1x4": partial(column_vectors, 4),
    "vectors_1x8": partial(column_vectors, 8),
    "prediction": prediction,
}
"""Kernels whose time depends on the density; the prediction is part of every sparse sum."""
