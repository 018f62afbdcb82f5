"""One head to attend on a device in a number type: what every implementation of sparse attention is given."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.masks import KeepMask
from dsasim.trace.attention import LayerTrace, TensorSource

BLOCK_POSITIONS = 1 << 24
"""Positions of a block of rows that is worked on whole."""


@dataclass(frozen=True)
class AttentionProblem:
    """softmax(scale * q k^T + bias over `keep`) v of one query head; `dtype` and `device` are PyTorch's."""

    layer: LayerTrace
    head: int
    keep: KeepMask
    device: str
    dtype: Any

    @cached_property
    def q(self) -> Any:
        """Queries [L_q, d_head]."""
        return self._tensor(self.layer.q(self.head))

    @cached_property
    def k(self) -> Any:
        """Keys [L_k, d_head]."""
        return self._tensor(self.layer.k(self.layer.kv_head(self.head)))

    @cached_property
    def v(self) -> Any:
        """Values [L_k, d_head]."""
        return self._tensor(self.layer.v(self.layer.kv_head(self.head)))

    def kept(self, rows: slice) -> Any:
        """Whether each of some rows keeps each key, bool [rows, L_k]."""
        return torch.from_numpy(self.keep.block(rows.start, rows.stop - rows.start).to_dense()).to(self.device)

    def bias(self, rows: slice) -> Any:
        """What the model adds to the scores of some rows [rows, L_k], or None."""
        bias = self.layer.bias(self.head, rows.start, rows.stop - rows.start)
        return None if bias is None else self._tensor(bias)

    def blocks(self) -> Iterator[slice]:
        """All rows, some at a time."""
        num_rows = max(1, BLOCK_POSITIONS // self.layer.L_k)
        for first in range(0, self.layer.L_q, num_rows):
            yield slice(first, min(first + num_rows, self.layer.L_q))

    def _tensor(self, array: NDArray[Any]) -> Any:
        return torch.from_numpy(np.array(array)).to(self.device, self.dtype)


def exact_output(problem: AttentionProblem) -> NDArray[np.float64]:
    """The problem's output [L_q, d_head] in float64 on the CPU; a row that keeps nothing is zero."""
    exact = replace(problem, device="cpu", dtype=torch.float64)
    outputs = []
    for rows in exact.blocks():
        kept, bias = exact.kept(rows), exact.bias(rows)
        scores = problem.layer.scale * (exact.q[rows] @ exact.k.T)
        scores = (scores if bias is None else scores + bias).masked_fill(~kept, -math.inf)
        outputs.append(torch.softmax(scores, dim=-1).masked_fill(~kept, 0.0) @ exact.v)
    whole: NDArray[np.float64] = torch.cat(outputs).numpy()
    return whole


@dataclass(frozen=True)
class RoundedTensors:
    """A trace's tensors with q, k and v as `dtype` holds them: both sides of a comparison get the same operands."""

    source: TensorSource
    dtype: Any

    @property
    def label(self) -> str:
        """What errors call the file."""
        return self.source.label

    def __contains__(self, name: str) -> bool:
        """Whether a tensor of this name is stored."""
        return name in self.source

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a stored tensor."""
        return self.source.shape(name)

    def read(self, name: str, head: int | None = None, rows: slice | None = None) -> NDArray[Any]:
        """The tensor or its part, rounded where it is an operand."""
        array = self.source.read(name, head, rows)
        if name.rsplit(".", 1)[-1] not in ("q", "k", "v", "bias"):
            return array
        rounded: NDArray[Any] = torch.from_numpy(np.array(array)).to(self.dtype).float().numpy()
        return rounded


def rounded(layer: LayerTrace, dtype: Any) -> LayerTrace:
    """The layer with operands that `dtype` holds exactly."""
    return replace(layer, source=RoundedTensors(layer.source, dtype))
