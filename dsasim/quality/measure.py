"""What a keep mask does to attention: recall of the exact top-k, captured softmax mass, output error.

A block of rows at a time; every figure is one number a row, and these are summed once a head, so that the result does
not depend on where blocks are cut.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import InvariantError
from dsasim.kernels.attention import masked_softmax, weighted_values
from dsasim.masks import KeepMask, Mask
from dsasim.quality.references import oracle_mask, random_mask, sink_window_mask
from dsasim.trace.attention import LayerTrace
from dsasim.trace.cache import Codec
from dsasim.trace.positions import RowBlock
from dsasim.trace.scores import Scorer, exact_scorer

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class QualityFigures:
    """What one kind of mask reaches, over all rows of all heads measured.

    mask_recall_ratio    mean over rows that keep a key of the share of the exact top-n found, n the row's kept keys
    captured_mass_ratio  mean over rows with an allowed key of the exact softmax mass on kept keys
    output_rel_l2        sqrt(sum |output - dense|^2 / sum |dense|^2) over everything
    """

    mask_recall_ratio: float
    captured_mass_ratio: float
    output_rel_l2: float


@dataclass(frozen=True)
class Quality:
    """A design's masks beside three others with the same number of keys in every row; density = kept / allowed."""

    ours: QualityFigures
    oracle: QualityFigures
    random: QualityFigures
    sink_window: QualityFigures
    density: float


@dataclass(frozen=True)
class _Exact:
    """Exact attention of a block of rows: scores and softmax [num_rows, num_keys], output [num_rows, d_head]."""

    allowed: Bool
    scores: Float32
    weights: Float32
    v: Float64
    output: Float32
    oracle: KeepMask

    @classmethod
    def of(cls, allowed: Bool, scores: Float32, v: Float64, oracle: KeepMask) -> "_Exact":
        """Dense attention is attention that keeps every allowed position."""
        every = KeepMask.from_dense(allowed)
        kept = masked_softmax(scores, every.indptr, every.indices)
        weights = np.zeros_like(scores)
        weights[allowed] = kept
        return cls(allowed, scores, weights, v, weighted_values(kept, every.indptr, every.indices, v), oracle)

    def row_figures(self, keep: KeepMask, oracle: Bool) -> Float64:
        """Float64 [num_rows, 4]: the oracle's keys found (as a share), mass, and both squares of output_rel_l2."""
        counts, rows = keep.row_counts, keep.rows
        found = np.bincount(rows[oracle[rows, keep.indices]], minlength=len(counts))
        mass = np.bincount(rows, self.weights[rows, keep.indices], minlength=len(counts))
        weights = masked_softmax(self.scores, keep.indptr, keep.indices)
        error = weighted_values(weights, keep.indptr, keep.indices, self.v) - self.output
        squares = [np.sum(np.square(of, dtype=np.float64), axis=1) for of in (error, self.output)]
        return np.stack([found / np.maximum(counts, 1), mass, *squares], axis=1)


@dataclass
class _Sums:
    """Running sums behind QualityFigures: of the rows' figures, and of the rows that each mean is over."""

    figures: Float64 = field(default_factory=lambda: np.zeros(4))
    recall_rows: int = 0
    mass_rows: int = 0

    def add(self, row_figures: Float64, kept: Int64, allowed: Int64) -> None:
        """Add one head: float64 [L_q, 4], and the kept and allowed keys of each row [L_q]."""
        self.figures = self.figures + np.sum(row_figures, axis=0)
        self.recall_rows += int(np.count_nonzero(kept))
        self.mass_rows += int(np.count_nonzero(allowed))

    def means(self) -> QualityFigures:
        """Means over what was added; 0 where there was nothing to average."""
        get_or_compute, mass, error, reference = (float(total) for total in self.figures)
        return QualityFigures(
            mask_recall_ratio=get_or_compute / max(self.recall_rows, 1),
            captured_mass_ratio=mass / max(self.mass_rows, 1),
            output_rel_l2=math.sqrt(error / reference) if reference else 0.0,
        )


MASKS = ("ours", "oracle", "random", "sink_window")
ROW_FIGURES = Codec[Float64](lambda figures: {"figures": figures}, lambda arrays: arrays["figures"])


@dataclass
class QualityMeter:
    """Collects heads of all layers and sequences, a row of any counting as one of any other.

    The layer's number and the head seed the random masks: neither the order of heads nor what else is in the batch
    matters to them.
    """

    _sums: dict[str, _Sums] = field(default_factory=lambda: {name: _Sums() for name in MASKS})
    _kept: int = 0
    _allowed: int = 0

    def add(self, layer: LayerTrace, head: int, keep: Mask) -> None:
        """Measure the mask of a query head; TraceError for a layer without q, k, v."""
        for name, figures in zip(MASKS, _head_figures(layer, head, keep), strict=True):
            self._sums[name].add(figures, keep.row_counts, layer.allowed_counts)
        self._kept += keep.nnz
        self._allowed += int(layer.allowed_counts.sum())

    def result(self) -> Quality:
        """The figures of all heads added; InvariantError before the first."""
        if not self._allowed:
            raise InvariantError("quality: no query row with an allowed key was measured")
        means = {name: sums.means() for name, sums in self._sums.items()}
        return Quality(**means, density=self._kept / self._allowed)


def _head_figures(layer: LayerTrace, head: int, keep: Mask) -> Float64:
    """Float64 [masks, L_q, 4]: the rows' figures under each of MASKS, from the layer's cache where it has one."""
    if layer.cache is None or not isinstance(keep, KeepMask):
        return _computed(layer, head, keep)
    return layer.cache.get_or_compute(
        ("quality", layer.key, head, keep.digest), lambda: _computed(layer, head, keep), ROW_FIGURES
    )


def _computed(layer: LayerTrace, head: int, keep: Mask) -> Float64:
    blocks = zip(*_block_figures(layer, head, keep), strict=True)
    return np.stack([np.concatenate(figures) for figures in blocks])


def _block_figures(layer: LayerTrace, head: int, keep: Mask) -> Iterator[list[Float64]]:
    """The rows' figures under each of MASKS, a block at a time."""
    score, values = exact_scorer(layer, head), layer.v(layer.kv_head(head)).astype(np.float64)
    for block in layer.row_blocks():
        ours = keep.block(block.first, block.num_rows)
        exact = _exact_block(layer, block, score, values, ours.row_counts)
        first_position = block.first + layer.L_k - layer.L_q
        masks = (
            ours,
            exact.oracle,
            random_mask(exact.allowed, ours.row_counts, (layer.number, head), block.first),
            sink_window_mask(exact.allowed, ours.row_counts, first_position),
        )
        oracle = exact.oracle.to_dense()
        yield [exact.row_figures(mask, oracle) for mask in masks]


def _exact_block(layer: LayerTrace, block: RowBlock, score: Scorer, values: Float64, counts: Int64) -> _Exact:
    allowed, scores = layer.allowed(*block), score(block)
    return _Exact.of(allowed, scores, values, oracle_mask(scores, allowed, counts))
