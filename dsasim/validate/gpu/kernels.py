"""The kernels that are measured, by name: each makes a call without arguments from a case, or says why it cannot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from subprocess import SubprocessError
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from dsasim.baseline.gpu_table import Gpu
from dsasim.validate.compare import FP16_GATE, FP32_GATE
from dsasim.validate.gpu.block_sparse import block_mask, compiled_flex_attention, many_shapes, no_compiler
from dsasim.validate.gpu.case import BLOCK, Case
from dsasim.validate.gpu.timing import Call, as_timed

SIGMA = 0.25
"""Columns of the ternary projection a column of X: the paper's usual setting."""


PREDICTION_LAUNCHES = 5
"""X P, two products for Q~ and K~, S~, and the top-k."""

CHECKED_ROWS = 64
"""Rows of head 0, evenly spread, whose output is checked before a kernel is timed."""

GATES = {torch.float32: FP32_GATE, torch.float16: FP16_GATE, torch.bfloat16: FP16_GATE}


class UnavailableError(Exception):
    """A kernel does not run here, or with `this_shape` not on this shape; the message says why."""

    def __init__(self, message: str, *, this_shape: bool = False) -> None:
        super().__init__(message)
        self.this_shape = this_shape


def first_line(error: Exception) -> str:
    """What an error of PyTorch says, without its pages of traces."""
    return str(error).strip().partition("\n")[0][:200]


def sdpa(backend: SDPBackend, case: Case) -> Call:
    """Dense attention by one backend of PyTorch."""
    q, k, v = (part[None] for part in case.qkv)

    def call() -> Any:
        with sdpa_kernel(backend):
            return scaled_dot_product_attention(q, k, v, is_causal=case.causal, scale=case.scale)

    try:
        call()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise UnavailableError(f"PyTorch has no {backend.name} here") from error
    return call


def flex_blocks(case: Case) -> Call:
    """Block-sparse attention by compiled FlexAttention."""
    if reason := no_compiler(case.device):
        raise UnavailableError(reason)
    q, k, v = (part[None] for part in case.qkv)
    mask = block_mask(case.blocks, BLOCK, case.L, case.L, case.causal)
    attend = compiled_flex_attention()

    def call() -> Any:
        return attend(q, k, v, block_mask=mask, scale=case.scale)

    try:
        with many_shapes(), as_timed(case.device):
            call()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise UnavailableError(f"FlexAttention does not compile: {first_line(error)}") from error
    return call


def column_vectors(rows: int, case: Case) -> Call:
    """Column-vector sparse attention by the Triton kernel."""
    if case.device != "cuda":
        raise UnavailableError("Triton's interpreter has the results of a GPU, not its speed")
    try:
        from triton.errors import TritonError

        from dsasim.validate.gpu.vector_kernel import column_vector_attention
    except ModuleNotFoundError as error:
        raise UnavailableError("Triton is not installed: `pip install triton`") from error
    mask = case.vectors(rows)
    q, k, v = case.qkv

    def call() -> Any:
        return column_vector_attention(q, k, v, mask, case.scale)

    try:
        call()
    except (TritonError, SubprocessError, OSError) as error:  # the last two: no C compiler, or no Python.h
        raise UnavailableError(f"Triton refuses: {first_line(error)}") from error
    return call


def prediction(case: Case) -> Call:
    """DSA's prediction: X P, Q~, K~, S~ = Q~ K~^T and the row's top-k, as plain products of the case's type."""
    width = case.num_heads * case.d_head
    rank = max(1, ceil(SIGMA * case.d_head))
    projected = case.num_heads * rank
    made, device = case.generator(4), case.device
    shapes = ((case.L, width), (width, projected), (projected, projected), (projected, projected))
    # weights of a variance that keeps scores in the range of float16: selecting among infinities is other work
    x, p, w_q, w_k = (
        (torch.randn(shape, generator=made, device=device) * spread).to(case.dtype)
        for shape, spread in zip(shapes, (1.0, width**-0.5, projected**-0.5, projected**-0.5), strict=True)
    )
    kept = max(1, ceil(case.density * case.L))
    beyond = ~case.sees(torch.arange(case.L, device=device)) if case.causal else None

    def call() -> Any:
        z = x @ p
        q, k = ((z @ w).view(case.L, case.num_heads, rank).transpose(0, 1) for w in (w_q, w_k))
        scores = q @ k.mT
        if beyond is not None:
            scores.masked_fill_(beyond, float("-inf"))
        return scores.topk(kept, dim=-1, sorted=False).indices

    return call


def prediction_roofline_us(gpu: Gpu, L: int, num_heads: int, d_head: int) -> float:
    """Least time of `prediction` in us: its products at the peak, or X, Z and S~ through memory, and its launches.

    Worked example: 2 heads of 1024 x 64 at 1 TFLOP/s, 1000 GB/s, 2 bytes a number, 5 us a launch; rank 16, so 32
    columns: 2 x 1024 x (128 x 32 + 2 x 32 x 32 + 2 x 1024 x 16) = 79.7 MFLOP are 79.7 us; with launches 104.7 us.
    """
    width, rank = num_heads * d_head, max(1, ceil(SIGMA * d_head))
    projected = num_heads * rank
    flops = 2 * L * (width * projected + 2 * projected**2 + num_heads * L * rank)
    moved = gpu.element_bytes * (L * width + 3 * 2 * L * projected + 2 * num_heads * L**2)
    busy_us = max(1e-6 * flops / gpu.peak_fp16_tflops.value, 1e-3 * moved / gpu.memory_gbps.value)
    return busy_us + PREDICTION_LAUNCHES * gpu.launch_ns / 1e3


def _dense_kept(case: Case, rows: Any) -> Any:
    return case.sees(rows)


def _block_kept(case: Case, rows: Any) -> Any:
    return case.blocks[0][rows // BLOCK].repeat_interleave(BLOCK, 1)[:, : case.L] & case.sees(rows)


def _vector_kept(of_vector: int, case: Case, rows: Any) -> Any:
    return case.vector_keys(of_vector)[0][rows // of_vector] & case.sees(rows)


@dataclass(frozen=True)
class Kernel:
    """How a kernel is called, and which keys some rows of head 0 keep, bool [rows, L]; None: it gives no output."""

    build: Callable[[Case], Call]
    kept: Callable[[Case, Any], Any] | None

    def checked(self, case: Case) -> Call:
        """The call, once its result was found right: what is wrong is not timed.

        UnavailableError says by how much it is wrong, or why it does not run (a device out of memory, too).
        """
        try:
            call = self.build(case)
            self._check(call, case)
        except RuntimeError as error:
            raise UnavailableError(f"PyTorch refuses: {first_line(error)}", this_shape=True) from error
        return call

    def _check(self, call: Call, case: Case) -> None:
        if self.kept is not None:
            rows = torch.arange(0, case.L, max(1, case.L // CHECKED_ROWS), device=case.device)
            found = call().reshape(case.num_heads, case.L, case.d_head)[0, rows].double()
            expected = _exact(case, rows, self.kept(case, rows))
            error = float(torch.linalg.norm(found - expected) / torch.linalg.norm(expected))
            if not error <= GATES[case.dtype]:
                words = f"wrong: rel. L2 {error:.3g} of head 0, gate {GATES[case.dtype]:g}"
                raise UnavailableError(words, this_shape=True)


def _exact(case: Case, rows: Any, kept: Any) -> Any:
    """Attention of some rows of head 0 over kept keys in float64; a row that keeps nothing is zero.

    Such rows are there: the first of a causal group may see none of the keys that its group keeps.
    """
    q, k, v = (part[0].double() for part in case.qkv)
    scores = (case.scale * q[rows] @ k.T).masked_fill(~kept, float("-inf"))
    return torch.softmax(scores, -1).masked_fill(~kept, 0.0) @ v


DENSE: Mapping[str, Kernel] = {
    "sdpa_flash": Kernel(partial(sdpa, SDPBackend.FLASH_ATTENTION), _dense_kept),
    "sdpa_efficient": Kernel(partial(sdpa, SDPBackend.EFFICIENT_ATTENTION), _dense_kept),
    "sdpa_cudnn": Kernel(partial(sdpa, SDPBackend.CUDNN_ATTENTION), _dense_kept),
    "sdpa_math": Kernel(partial(sdpa, SDPBackend.MATH), _dense_kept),
}
SPARSE: Mapping[str, Kernel] = {
    "flex_blocks": Kernel(flex_blocks, _block_kept),
    "vectors_1x4": Kernel(partial(column_vectors, 4), partial(_vector_kept, 4)),
    "vectors_1x8": Kernel(partial(column_vectors, 8), partial(_vector_kept, 8)),
    "prediction": Kernel(prediction, None),
}
"""Kernels whose time depends on the density; the prediction is part of every sparse sum."""
