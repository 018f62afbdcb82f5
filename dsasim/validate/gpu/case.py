"""One shape to measure: random operands, and masks of a density in the form each sparse kernel wants."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import torch

from dsasim.validate.gpu.vectors import ColumnVectors, encode

BLOCK = 128
"""Rows and keys of a FlexAttention block: its own default."""


@dataclass(frozen=True)
class Case:
    """Self-attention of `num_heads` heads of L tokens, of which every row keeps `density` of the keys."""

    L: int
    num_heads: int
    d_head: int
    density: float
    device: str
    dtype: Any

    @cached_property
    def qkv(self) -> tuple[Any, Any, Any]:
        """Q, K, V, normally distributed: [num_heads, L, d_head]."""
        made = self._generator(1)
        shape = (self.num_heads, self.L, self.d_head)
        return tuple(torch.randn(shape, generator=made).to(self.device, self.dtype) for _ in range(3))

    @property
    def scale(self) -> float:
        """1 / sqrt(d_head)."""
        return float(self.d_head**-0.5)

    @cached_property
    def blocks(self) -> Any:
        """Kept blocks, bool [num_heads, L / BLOCK, L / BLOCK]: each row of blocks keeps as many, its own always."""
        count = -(-self.L // BLOCK)
        scores = torch.rand((self.num_heads, count, count), generator=self._generator(2))
        scores.diagonal(dim1=1, dim2=2).fill_(2.0)
        kept = torch.zeros_like(scores, dtype=torch.bool)
        return kept.scatter_(2, scores.topk(max(1, ceil(self.density * count))).indices, value=True).to(self.device)

    @property
    def block_density(self) -> float:
        """Share of the blocks that are kept: `density` rounded up to whole blocks."""
        return float(self.blocks.float().mean())

    def vectors(self, rows: int) -> ColumnVectors:
        """A mask of 1 x rows vectors: `rows` consecutive queries keep the same keys."""
        groups, kept = -(-self.L // rows), max(1, ceil(self.density * self.L))
        scores = torch.rand((self.num_heads, groups, self.L), generator=self._generator(3))
        shared = torch.zeros_like(scores, dtype=torch.bool).scatter_(2, scores.topk(kept).indices, value=True)
        return encode(shared.repeat_interleave(rows, 1)[:, : self.L].to(self.device), rows)

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)
