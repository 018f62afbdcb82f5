"""What a keep mask does to attention: recall of the exact top-k, captured softmax mass, output error (design.md §2)."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import InvariantError
from dsasim.kernels.attention import masked_softmax, weighted_values
from dsasim.predictors import KeepMask
from dsasim.predictors.exact import exact_scores
from dsasim.quality.references import oracle_mask, random_mask, sink_window_mask
from dsasim.trace.attention import LayerTrace

Float32 = NDArray[np.float32]
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
class _Head:
    """One head's exact attention: scores and softmax [L_q, L_k], output [L_q, d_head]."""

    allowed: Bool
    scores: Float32
    weights: Float32
    v: Float32
    output: Float32
    oracle: Bool


@dataclass
class _Sums:
    """Running sums behind QualityFigures."""

    recall: float = 0.0
    recall_rows: int = 0
    mass: float = 0.0
    mass_rows: int = 0
    error: float = 0.0
    reference: float = 0.0

    def add(self, head: _Head, keep: KeepMask) -> None:
        """Add one head's mask."""
        counts, rows = keep.row_counts, keep.rows
        found = np.bincount(rows[head.oracle[rows, keep.indices]], minlength=len(counts))
        self.recall += float(np.sum(found[counts > 0] / counts[counts > 0]))
        self.recall_rows += int(np.count_nonzero(counts))
        self.mass += float(np.sum(head.weights[rows, keep.indices], dtype=np.float64))
        self.mass_rows += int(np.count_nonzero(head.allowed.any(axis=1)))
        weights = masked_softmax(head.scores, keep.indptr, keep.indices)
        output = weighted_values(weights, keep.indptr, keep.indices, head.v)
        self.error += float(np.sum(np.square(output - head.output, dtype=np.float64)))
        self.reference += float(np.sum(np.square(head.output, dtype=np.float64)))

    def figures(self) -> QualityFigures:
        """Means over what was added; 0 where there was nothing to average."""
        return QualityFigures(
            mask_recall_ratio=self.recall / max(self.recall_rows, 1),
            captured_mass_ratio=self.mass / max(self.mass_rows, 1),
            output_rel_l2=math.sqrt(self.error / self.reference) if self.reference else 0.0,
        )


@dataclass
class QualityMeter:
    """Collects heads; the layer and the head seed the random masks, so the order of heads does not matter to them."""

    _ours: _Sums = field(default_factory=_Sums)
    _oracle: _Sums = field(default_factory=_Sums)
    _random: _Sums = field(default_factory=_Sums)
    _sink_window: _Sums = field(default_factory=_Sums)
    _kept: int = 0
    _allowed: int = 0

    def add(self, layer: LayerTrace, head: int, keep: KeepMask) -> None:
        """Measure the mask of a query head; TraceError for a layer without q, k, v."""
        allowed, scores, counts = layer.allowed(), exact_scores(layer, head), keep.row_counts
        oracle = oracle_mask(scores, allowed, counts)
        exact = _exact(allowed, scores, layer.v(layer.kv_head(head)), oracle)
        self._ours.add(exact, keep)
        self._oracle.add(exact, oracle)
        self._random.add(exact, random_mask(allowed, counts, (layer.number, head)))
        self._sink_window.add(exact, sink_window_mask(allowed, counts))
        self._kept += keep.nnz
        self._allowed += int(np.count_nonzero(allowed))

    def result(self) -> Quality:
        """The figures of all heads added; InvariantError before the first."""
        if self._ours.mass_rows == 0:
            raise InvariantError("quality: no query row with an allowed key was measured")
        return Quality(
            ours=self._ours.figures(),
            oracle=self._oracle.figures(),
            random=self._random.figures(),
            sink_window=self._sink_window.figures(),
            density=self._kept / self._allowed,
        )


def _exact(allowed: Bool, scores: Float32, v: Float32, oracle: KeepMask) -> _Head:
    """Dense attention is attention that keeps every allowed position."""
    every = KeepMask.from_dense(allowed)
    kept = masked_softmax(scores, every.indptr, every.indices)
    weights = np.zeros_like(scores)
    weights[allowed] = kept
    output = weighted_values(kept, every.indptr, every.indices, v)
    return _Head(allowed, scores, weights, v, output, oracle.to_dense())
