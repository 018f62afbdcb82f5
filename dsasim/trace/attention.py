"""An attention trace: what one model computed on one input, layer by layer, read one head at a time.

Tensors come from a `TensorSource` (a memory-mapped file, or memory) by the names of traces/README.md, as `layer.N.q`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.trace.cache import MemoryCache
from dsasim.trace.packing import Bool, clear_padding, last_rows, pack_bits, unpack_ternary
from dsasim.trace.positions import Int64, Positions, RowBlock
from dsasim.trace.schema import layer_label, prefix_of

TraceKind = Literal["real", "synthetic", "mask"]
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class TraceMeta:
    """Where a trace comes from; `sha256` is over its content (tensors and metadata), never its path."""

    name: str
    kind: TraceKind
    model: str
    sha256: str
    format_version: int
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class FittedPredictor:
    """Float weights of the prediction path (`methods.integer_path`) of one layer for one sigma.

    Z = [X P | extra]: k ternary columns, then columns that do not come from X (rotary positions, a constant), K in all.

    projection  int8 [d_model, k] in {-1, 0, 1}
    w_q         float32 [num_heads, K, r]
    w_k         float32 [num_kv_heads, K, r]
    extra_q     float32 [L_q, K - k], beside X_q P: `position_columns` first, then the others
    extra_k     float32 [L_k, K - k], beside X_kv P; the queries' positions are the last L_q of these
    scales      bits -> name -> float32 array: static scales of least squared error
    """

    sigma: Decimal
    projection: NDArray[np.int8]
    w_q: Float32
    w_k: Float32
    extra_q: Float32
    extra_k: Float32
    scales: Mapping[int, Mapping[str, Float32]]
    position_columns: int
    fitted_on: str

    @property
    def k(self) -> int:
        """Columns of the ternary projection."""
        return int(self.projection.shape[1])

    @property
    def columns(self) -> int:
        """K: columns of Z, the extra ones included."""
        return int(self.w_q.shape[1])

    @property
    def rank(self) -> int:
        """r: columns of W~q and W~k a head."""
        return int(self.w_q.shape[2])


class TensorSource(Protocol):
    """Named tensors; `read` raises TraceError on a missing name or a NaN or Inf in what it reads."""

    @property
    def label(self) -> str:
        """What errors call the file, or the tensors in memory."""

    def __contains__(self, name: str) -> bool:
        """Whether a tensor of this name is stored."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a stored tensor."""

    def read(self, name: str, head: int | None = None, rows: slice | None = None) -> NDArray[Any]:
        """The whole tensor, its part `[head]`, or `[head, rows]`, in its stored type."""


@dataclass(frozen=True)
class PredictorEntry:
    """What the metadata says of a fitted predictor; `tensors` maps a part of it (schema.PARTS) to a tensor's name."""

    k: int
    tensors: Mapping[str, str]
    scales: Mapping[int, Mapping[str, str]]
    fitted_on: str


@dataclass(frozen=True)
class LayerTrace:
    """One attention layer on one sequence: its shape, and its tensors read when asked for, one head at a time.

    `number` is the model's own layer number, `sequence` the place in the batch, `of_several` whether the trace holds
    more sequences than this. Query head h reads the keys of kv head `kv_head(h)`; its scores are
    scale * q k^T + bias.
    """

    number: int
    num_heads: int
    num_kv_heads: int
    L_q: int
    L_k: int
    d_head: int
    d_model: int
    causal: bool
    scale: float
    d_ff: int | None
    gated: bool | None
    has_qkv: bool
    predictors: Mapping[Decimal, PredictorEntry]
    source: TensorSource
    sequence: int = 0
    of_several: bool = False
    cache: MemoryCache | None = None
    """Where masks and their quality are kept, for many runs on one trace; None: nowhere."""

    @property
    def key(self) -> tuple[int, int]:
        """Which of the trace's layers this is: its number, and its sequence."""
        return self.number, self.sequence

    @property
    def batch_index(self) -> int | None:
        """The sequence, where the trace holds several: what reports and timelines say."""
        return self.sequence if self.of_several else None

    @property
    def label(self) -> str:
        """What follows the word layer: `3`, or `3 sequence 1` in a trace of several sequences."""
        return layer_label(self.number, self.batch_index)

    @property
    def self_attention(self) -> bool:
        """Whether queries and keys come from one input: X_kv is X_q."""
        return self._name("x_kv") not in self.source and self.L_q == self.L_k

    @property
    def sigmas(self) -> tuple[Decimal, ...]:
        """The sigmas with fitted weights, ascending."""
        return tuple(sorted(self.predictors))

    def kv_head(self, head: int) -> int:
        """The kv head that query head `head` reads: consecutive query heads share one."""
        return head // (self.num_heads // self.num_kv_heads)

    def q(self, head: int) -> Float32:
        """Queries [L_q, d_head] as the score product sees them (after rotation and normalisation)."""
        return self._float("q", head)

    def k(self, kv_head: int) -> Float32:
        """Keys [L_k, d_head] as the score product sees them."""
        return self._float("k", kv_head)

    def v(self, kv_head: int) -> Float32:
        """Values [L_k, d_head]."""
        return self._float("v", kv_head)

    def x_q(self) -> Float32:
        """The attention module's input on the query side [L_q, d_model]."""
        return self._float("x_q")

    def x_kv(self) -> Float32:
        """The attention module's input on the key side [L_k, d_model]."""
        return self.x_q() if self.self_attention else self._float("x_kv")

    @cached_property
    def positions(self) -> Positions:
        """Which keys each row may attend to, by the layer's causality and its stored mask."""
        name = self._name("allowed")
        packed = self.source.read(name) if name in self.source else None
        return Positions(self.L_q, self.L_k, self.causal, packed)

    def allowed(self, first: int = 0, num_rows: int | None = None, num_keys: int | None = None) -> Bool:
        """Whether each row from `first` may attend to each of the first `num_keys` keys: bool [num_rows, num_keys].

        Without counts up to the last row and key, which takes 268 MB at 16 384 tokens: see `row_blocks`.
        """
        rows = self.L_q - first if num_rows is None else num_rows
        return self.positions.allowed(first, rows, self.L_k if num_keys is None else num_keys)

    @property
    def allowed_counts(self) -> Int64:
        """Keys that each row may attend to, int64 [L_q]."""
        return self.positions.counts

    @property
    def row_spans(self) -> Int64:
        """Keys from 0 up to the last one that each row may attend to, int64 [L_q]; 0 where there is none."""
        return self.positions.spans

    def row_blocks(self, together: int = 1) -> Iterator[RowBlock]:
        """The layer's rows in blocks small enough to work on whole, each with the keys its rows may see.

        No `together` rows, counted from row 0, are cut apart.
        """
        return self.positions.blocks(together)

    def bias(self, head: int, first: int = 0, num_rows: int | None = None) -> Float32 | None:
        """What the model adds to the scores [num_rows, L_k] of rows from `first`; stored a head, or once for all."""
        name = self._name("bias")
        if name not in self.source:
            return None
        rows = slice(first, None if num_rows is None else first + num_rows)
        return self._float("bias", head if self.source.shape(name)[0] > 1 else 0, rows)

    def sampled_outputs(self, head: int) -> tuple[NDArray[np.int32], NDArray[np.floating[Any]]] | None:
        """Query rows [n] and the model's own attention output at them [n, d_head], as stored; None if there is none."""
        if self._name("out") not in self.source:
            return None
        return self.source.read(self._name("out_rows"), head), self.source.read(self._name("out"), head)

    def given_bits(self, head: int) -> NDArray[np.uint8] | None:
        """The stored keep mask of a head as packed bits uint8 [L_q, ceil(L_k / 8)], bits beyond L_k cleared.

        TraceError when it keeps a position that is not allowed; the first is named.
        """
        if self._name("keep") not in self.source:
            return None
        keep = clear_padding(self.source.read(self._name("keep"), head), self.L_k)
        forbidden, place = 0, ""
        for first, num_rows, _ in self.row_blocks():
            outside = keep[first : first + num_rows] & ~pack_bits(self.allowed(first, num_rows))
            if outside.any() and not place:
                row, key = np.argwhere(np.unpackbits(outside, axis=1))[0]
                place = f"row {first + row} key {key}"
            forbidden += int(np.bitwise_count(outside).sum(dtype=np.int64))
        if forbidden:
            where = f"{self.source.label}: layer {self.label} head {head}"
            counted = "1 position that is" if forbidden == 1 else f"{forbidden} positions that are"
            raise TraceError(f"{where}: the keep mask keeps {counted} not allowed, the first {place}")
        return keep

    def predictor(self, sigma: Decimal) -> FittedPredictor | None:
        """The weights fitted for `sigma` (compared as an exact decimal), or None."""
        entry = self.predictors.get(sigma)
        if entry is None:
            return None
        positions = self._weights(entry.tensors["positions"])
        return FittedPredictor(
            sigma=sigma,
            projection=unpack_ternary(self.source.read(entry.tensors["projection"]), entry.k),
            w_q=self._weights(entry.tensors["w_q"]),
            w_k=self._weights(entry.tensors["w_k"]),
            extra_q=np.hstack([last_rows(positions, self.L_q), self._weights(entry.tensors["others_q"])]),
            extra_k=np.hstack([positions, self._weights(entry.tensors["others_k"])]),
            scales={
                bits: {key: self._scale(name) for key, name in names.items()} for bits, names in entry.scales.items()
            },
            position_columns=int(positions.shape[1]),
            fitted_on=entry.fitted_on,
        )

    def _name(self, tensor: str) -> str:
        return f"{prefix_of(*self.key)}.{tensor}"

    def _weights(self, name: str) -> Float32:
        return self.source.read(name).astype(np.float32, copy=False)

    def _scale(self, name: str) -> Float32:
        scale = self._weights(name)
        if (scale <= 0).any():
            raise TraceError(f"{self.source.label}: {name} has a scale of {scale.min():g}; scales are above 0")
        return scale

    def _float(self, tensor: str, head: int | None = None, rows: slice | None = None) -> Float32:
        if not self.has_qkv:
            raise TraceError(f"{self.source.label}: layer {self.label} holds keep masks only: it has no {tensor}")
        return self.source.read(self._name(tensor), head, rows).astype(np.float32)


@dataclass(frozen=True, repr=False)
class AttentionTrace:
    """A trace: its provenance, and its layers by number and sequence in the order in which a batch runs them.

    That is layer after layer in the order they ran, and within a layer sequence after sequence.
    """

    meta: TraceMeta
    layers: Mapping[tuple[int, int], LayerTrace]

    def __repr__(self) -> str:
        """What it is, in a line; all it holds would be a hundred."""
        meta = self.meta
        return f"AttentionTrace({meta.name!r}, {meta.kind}, {meta.model!r}, layers={self.layer_numbers})"

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """The model's own numbers of the layers held."""
        return tuple(dict.fromkeys(number for number, _ in self.layers))

    @property
    def num_sequences(self) -> int:
        """Sequences of the batch; each has all layers."""
        return len({sequence for _, sequence in self.layers})

    @property
    def masks_only(self) -> bool:
        """Whether the trace brings keep masks and no q, k, v: no other mask can be made, and no quality measured."""
        return not any(layer.has_qkv for layer in self)

    def layer(self, number: int, sequence: int = 0) -> LayerTrace:
        """The layer the model calls `number`, on a sequence; TraceError names the ones that exist."""
        found = self.layers.get((number, sequence))
        if found is None and number in self.layer_numbers:
            held = ", ".join(map(str, range(self.num_sequences)))
            raise TraceError(f"{self.meta.name}: no sequence {sequence}; it holds sequences {held}")
        if found is None:
            held = ", ".join(map(str, self.layer_numbers))
            raise TraceError(f"{self.meta.name}: no layer {number}; it holds layers {held}")
        return found

    def batch(self, number: int) -> tuple[LayerTrace, ...]:
        """A layer on each sequence; TraceError names the layers that exist."""
        return tuple(self.layer(number, sequence) for sequence in range(self.num_sequences))

    def chosen(self, selection: Mapping[int, Sequence[int]]) -> list[tuple[LayerTrace, Sequence[int]]]:
        """The layers of a selection (layer number -> query heads) with their heads, numbers ascending.

        What is chosen of a layer is run on each sequence, one after the other.
        """
        return [(layer, heads) for number, heads in sorted(selection.items()) for layer in self.batch(number)]

    def with_cache(self, cache: MemoryCache) -> "AttentionTrace":
        """This trace with a cache, for many runs on it: equal masks are made and measured once."""
        return replace(self, layers={key: replace(layer, cache=cache) for key, layer in self.layers.items()})

    def __iter__(self) -> Iterator[LayerTrace]:
        """Layers in the order of `layers`."""
        return iter(self.layers.values())
