"""No prediction: every allowed position is kept."""

from functools import cached_property

from dsasim.config.schema import ArchConfig
from dsasim.kernels.bits import true_keys
from dsasim.masks import Int64, KeepMask, Mask
from dsasim.methods.base import Method, State
from dsasim.trace.attention import LayerTrace


class AllowedMask:
    """All allowed positions of a layer, as CSR a block of rows at a time: whole, they take 0.5 GB at 16 384 tokens."""

    def __init__(self, layer: LayerTrace) -> None:
        self._layer = layer
        self._last: tuple[tuple[int, int], KeepMask] | None = None

    @property
    def num_keys(self) -> int:
        """L_k."""
        return self._layer.L_k

    @property
    def row_counts(self) -> Int64:
        """Allowed keys of each row, int64 [L_q]."""
        return self._layer.allowed_counts

    @cached_property
    def nnz(self) -> int:
        """Allowed positions."""
        return int(self.row_counts.sum())

    def block(self, first: int, num_rows: int) -> KeepMask:
        """The mask of `num_rows` rows from `first`; the last one asked for is kept, for the other heads."""
        rows = (first, num_rows)
        if self._last is None or self._last[0] != rows:
            self._last = rows, KeepMask(*true_keys(self._layer.allowed(first, num_rows)), self.num_keys)
        return self._last[1]


class Dense(Method):
    """Keeps every allowed position, free of charge; the same mask for all heads."""

    summary = "no prediction: every allowed position is kept"
    keeps_all = True

    def __init__(self, arch: ArchConfig, layer: LayerTrace, state: State) -> None:
        super().__init__(arch, layer, state)
        self._mask = AllowedMask(layer)

    def mask(self, _head: int) -> Mask:
        """All allowed positions."""
        return self._mask


METHOD = Dense
