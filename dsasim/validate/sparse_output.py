"""Is dsasim's sparse attention that of the same mask in PyTorch, and is that of three other implementations?

All get the same operands: those stored, rounded to the number type that PyTorch computes in (float32 on a CPU; float16
and bfloat16 too on a GPU). dsasim computes in float32 whatever the type. The judge is float64 on the CPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.kernels.attention import masked_softmax, weighted_values
from dsasim.masks import KeepMask
from dsasim.trace.attention import LayerTrace
from dsasim.trace.scores import exact_scorer
from dsasim.validate.check import Check, skipped
from dsasim.validate.compare import FP16_GATE, FP32_GATE, HeadError, compared, finite
from dsasim.validate.gpu.block_sparse import no_compiler
from dsasim.validate.gpu.kernels import first_line
from dsasim.validate.implementations import Attend, CompiledFlex, masked_sdpa, sparse_csr
from dsasim.validate.problem import AttentionProblem, exact_output, rounded
from dsasim.validate.subject import Subject, cell_of

TITLES = {
    "dsasim": "sparse output = float64",
    "sdpa": "output = masked SDPA",
    "flex": "output = compiled FlexAttention",
    "csr": "output = sampled_addmm, CSR",
}

SHORT = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


@dataclass
class _Run:
    """One implementation in one number type: its errors so far, or why it was left out."""

    name: str
    attend: Attend
    dtype: Any
    errors: list[HeadError] = field(default_factory=list)
    against_exact: list[HeadError] = field(default_factory=list)
    left_out: str = ""

    @property
    def gate(self) -> float:
        """The gate of the number type."""
        return FP32_GATE if self.dtype == torch.float32 else FP16_GATE

    def add(self, problem: AttentionProblem, ours: NDArray[Any], exact: NDArray[Any]) -> None:
        """Attend one head; an implementation that raises is left out, and says so."""
        if self.left_out:
            return
        try:
            found = self.attend(problem).cpu().double().numpy()
        except (RuntimeError, NotImplementedError) as error:
            self.left_out = f"PyTorch refuses: {first_line(error)}"
            return
        # a row that keeps nothing: exact zeros by our definition; PyTorch's implementations differ among themselves
        rows = np.flatnonzero(problem.keep.row_counts)
        if not rows.size:
            return
        where = cell_of(problem.layer), problem.head
        self.errors.append(HeadError.of(*where, ours[rows], found[rows], rows))
        self.against_exact.append(HeadError.of(*where, found[rows], exact[rows], rows))

    def check(self, device: str) -> Check:
        """The outcome over all heads."""
        kind = SHORT[self.dtype]
        name, title = f"sparse_output_{self.name}_{kind}", f"{TITLES[self.name]}, {kind}"
        if self.left_out or not self.errors:
            return skipped(name, title, self.left_out or "no row keeps a key")
        check = compared(name, title, self.errors, self.gate, f"dsasim against it, on {device}", rows=False)
        own = finite(max(error.rel_l2 for error in self.against_exact))
        figures = {**check.figures, "rel_l2_from_float64": own}
        return Check(name, title, check.status, check.detail, check.gate, figures, check.tables)


def check_sparse_output(subject: Subject) -> list[Check]:
    """Dsasim against float64, and against each implementation that can run here."""
    if all(not layer.has_qkv for layer in subject.layers):
        reason = "the trace holds masks only, nothing to attend with"
        return [skipped(f"sparse_output_{name}", title, reason) for name, title in TITLES.items()]
    checks = list[Check]()
    ours_errors = list[HeadError]()
    runs = list(_runs(subject.device))
    for layer, head in subject.heads():
        if not layer.has_qkv:
            continue
        keep = subject.keep(layer, head)
        for dtype in dict.fromkeys(run.dtype for run in runs):
            operands = rounded(layer, dtype)
            problem = AttentionProblem(operands, head, keep, subject.device, dtype)
            ours, exact = sparse_attention(operands, head, keep), exact_output(problem)
            ours_errors.append(HeadError.of(cell_of(layer), head, ours, exact))
            for run in runs:
                if run.dtype == dtype:
                    run.add(problem, ours, exact)
    checks.append(compared("sparse_output_dsasim", TITLES["dsasim"], ours_errors, FP32_GATE, "against float64"))
    return checks + [run.check(subject.device) for run in runs]


def sparse_attention(layer: LayerTrace, head: int, keep: KeepMask) -> NDArray[np.float32]:
    """Dsasim's own path: scores on kept positions, softmax, weighted values; float32 [L_q, d_head]."""
    score, values = exact_scorer(layer, head), layer.v(layer.kv_head(head)).astype(np.float64)
    outputs = []
    for block in layer.row_blocks():
        kept = keep.block(block.first, block.num_rows)
        weights = masked_softmax(score(block), kept.indptr, kept.indices)
        outputs.append(weighted_values(weights, kept.indptr, kept.indices, values))
    return np.concatenate(outputs)


def _runs(device: str) -> Iterator[_Run]:
    """Every implementation in every number type of the device."""
    for dtype in (torch.float32,) if device == "cpu" else (torch.float32, torch.float16, torch.bfloat16):
        yield _Run("sdpa", masked_sdpa, dtype)
        yield _Run("flex", CompiledFlex(), dtype, left_out=no_compiler(device))
        yield _Run("csr", sparse_csr, dtype)
