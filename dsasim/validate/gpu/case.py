"""One shape to measure: random operands, and masks of a density in the form each sparse kernel wants."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from dsasim.validate.gpu.vectors import ColumnVectors

BLOCK = 128
"""Rows and keys of a FlexAttention block: its own default."""


@dataclass(frozen=True)
class Case:
    """Self-attention of `num_heads` heads of L tokens, of which every row keeps `density` of the keys that it sees."""

    L: int
    num_heads: int
    d_head: int
    density: float
    device: str
    dtype: Any
    causal: bool = False

    @cached_property
    def qkv(self) -> tuple[Any, Any, Any]:
        """Q, K, V, normally distributed: [num_heads, L, d_head]."""
        made = self.generator(1)
        shape = (self.num_heads, self.L, self.d_head)
        q, k, v = (torch.randn(shape, generator=made, device=self.device).to(self.dtype) for _ in range(3))
        return q, k, v

    @property
    def scale(self) -> float:
        """1 / sqrt(d_head)."""
        return float(self.d_head**-0.5)

    @cached_property
    def blocks(self) -> Any:
        """Kept blocks, bool [num_heads, L / BLOCK, L / BLOCK]: each row of blocks keeps its share, its own always."""
        count = -(-self.L // BLOCK)
        scores = torch.rand((self.num_heads, count, count), generator=self.generator(2), device=self.device)
        scores.diagonal(dim1=1, dim2=2).fill_(2.0)
        last = torch.arange(count, device=self.device) if self.causal else torch.full((count,), count - 1)
        return self._highest(scores, last.to(self.device))

    @property
    def block_density(self) -> float:
        """Share of the positions seen that lie in kept blocks: `density` rounded up to whole blocks."""
        count = -(-self.L // BLOCK)
        sizes = torch.full((count,), float(BLOCK))
        sizes[-1] = self.L - BLOCK * (count - 1)
        positions = sizes[:, None] * sizes
        if self.causal:
            positions = positions.tril()
            positions.diagonal().copy_(sizes * (sizes + 1) / 2)
        kept = (self.blocks.cpu() * positions).sum() / self.num_heads
        return float(kept / positions.sum())

    def vector_keys(self, rows: int) -> Any:
        """The keys that each group of `rows` consecutive queries keeps, bool [num_heads, groups, L]."""
        groups = -(-self.L // rows)
        last = torch.full((groups,), self.L - 1, device=self.device)
        if self.causal:
            last = last.minimum((torch.arange(groups, device=self.device) + 1) * rows - 1)
        scores = torch.rand((self.num_heads, groups, self.L), generator=self.generator(3), device=self.device)
        return self._highest(scores, last)

    def vectors(self, rows: int) -> ColumnVectors:
        """A mask of 1 x rows vectors: a group's queries keep the same keys, but a causal row none after it."""
        kept = self.vector_keys(rows)
        _, group, key = kept.nonzero(as_tuple=True)
        row = rows * group[:, None] + torch.arange(rows, device=self.device)
        wants = (row < self.L) & ((key[:, None] <= row) | (not self.causal))
        wanted = (wants.int() << torch.arange(rows, device=self.device)).sum(1, dtype=torch.int32)
        counts = kept.sum(2).flatten().cumsum(0)
        offsets = torch.nn.functional.pad(counts, (1, 0)).to(torch.int32)
        return ColumnVectors(rows, kept.shape[1], key.to(torch.int32), wanted, offsets)

    def sees(self, rows: Any) -> Any:
        """Which keys some rows may attend to, bool [rows, L]."""
        keys = torch.arange(self.L, device=self.device)
        return keys <= rows[:, None] if self.causal else torch.ones_like(keys, dtype=torch.bool).expand(len(rows), -1)

    def generator(self, seed: int) -> torch.Generator:
        """Random numbers of the device, the same each time."""
        return torch.Generator(device=self.device).manual_seed(seed)

    def _highest(self, scores: Any, last: Any) -> Any:
        """The highest scores of each row [heads, rows, n], of the `last` + 1 it sees max(1, ceil(density x seen))."""
        seen = last + 1
        counts = (self.density * seen.double() - 1e-9).ceil().clamp_min(1)
        scores = scores.masked_fill(torch.arange(scores.shape[2], device=self.device) > last[:, None], -1.0)
        threshold = scores.sort(dim=2, descending=True).values.gather(
            2, (counts.long() - 1)[None, :, None].expand(len(scores), -1, 1)
        )
        return scores >= threshold
