"""Layers as plain arrays, and how they become the named tensors and metadata of a trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.trace.attention import FittedPredictor
from dsasim.trace.packing import Bool, last_rows, pack_bits, pack_ternary
from dsasim.trace.schema import prefix_of

Tensors = dict[str, NDArray[Any]]
SHARED_FROM_BYTES = 1024
"""Equal predictor arrays of at least this size are stored once; smaller ones keep their own name."""


_REAL = ("fiu", "real numbers")
EXPECTED: Mapping[str, tuple[int, str, str]] = {
    **dict.fromkeys(("q", "k", "v", "out", "bias"), (3, *_REAL)),
    **dict.fromkeys(("x_q", "x_kv"), (2, *_REAL)),
    "out_rows": (2, "iu", "whole numbers"),
    "allowed": (2, "b", "booleans"),
    "keep": (3, "b", "booleans"),
}
"""Axes of each array of LayerArrays, the NumPy kinds of element it may have, and these in words."""


@dataclass(frozen=True)
class LayerArrays:
    """One attention layer on one sequence, in memory.

    q [H, L_q, d_head]; k, v [H_kv, L_k, d_head]; x_q [L_q, d_model]; x_kv [L_k, d_model], None for self-attention;
    out_rows [H, n] and out [H, n, d_head], the model's own output at sampled rows; allowed bool [L_q, L_k];
    bias [H, L_q, L_k], or [1, L_q, L_k] for all heads; keep bool [H, L_q, L_k].
    """

    number: int
    q: NDArray[Any]
    k: NDArray[Any]
    v: NDArray[Any]
    x_q: NDArray[Any]
    causal: bool
    scale: float
    x_kv: NDArray[Any] | None = None
    out_rows: NDArray[Any] | None = None
    out: NDArray[Any] | None = None
    allowed: Bool | None = None
    bias: NDArray[Any] | None = None
    keep: Bool | None = None
    d_ff: int | None = None
    gated: bool | None = None
    predictors: tuple[FittedPredictor, ...] = ()
    sequence: int = 0

    @property
    def prefix(self) -> str:
        """What the names of its tensors begin with."""
        return prefix_of(self.number, self.sequence)

    def check(self) -> None:
        """TraceError names an array whose axes or elements, or a number whose type, is not what is written above."""
        for name, (axes, kinds, wanted) in EXPECTED.items():
            array = getattr(self, name)
            if array is None and name not in ("q", "k", "v", "x_q"):
                continue
            if not isinstance(array, np.ndarray):
                raise TraceError(f"{self.prefix}.{name}: {type(array).__name__}; expected a NumPy array")
            if array.ndim != axes:
                raise TraceError(f"{self.prefix}.{name} has shape {list(array.shape)}; expected {axes} axes")
            if array.dtype.kind not in kinds:
                raise TraceError(f"{self.prefix}.{name} is {array.dtype}; expected {wanted}")
        for name in ("number", "sequence", "causal", "scale", "d_ff", "gated"):
            if isinstance(value := getattr(self, name), np.generic):
                raise TraceError(f"layer {self.number}: {name} is a NumPy {value.dtype}; expected a plain Python value")

    def tensors(self, dtype: type[np.floating[Any]]) -> Tensors:
        """The layer's tensors by their stored names; what the model computed is stored as `dtype`."""
        floats = {"q": self.q, "k": self.k, "v": self.v, "x_q": self.x_q, "x_kv": self.x_kv, "out": self.out}
        stored = {
            name: cast(f"{self.prefix}.{name}", array, dtype) for name, array in floats.items() if array is not None
        }
        if self.bias is not None:
            stored["bias"] = self.bias.astype(np.float32, copy=False)
        if self.out_rows is not None:
            stored["out_rows"] = self.out_rows.astype(np.int32)
        if self.allowed is not None:
            stored["allowed"] = pack_bits(self.allowed)
        if self.keep is not None:
            stored["keep"] = pack_bits(self.keep)
        return {f"{self.prefix}.{name}": array for name, array in stored.items()}

    def metadata(self) -> dict[str, Any]:
        """The layer's entry in the metadata, without its predictors."""
        return {
            **_numbers(self.number, self.sequence),
            "num_heads": self.q.shape[0],
            "num_kv_heads": self.k.shape[0],
            "L_q": self.q.shape[1],
            "L_k": self.k.shape[1],
            "d_head": self.q.shape[2],
            "d_model": self.x_q.shape[1],
            "causal": self.causal,
            "scale": self.scale,
            "d_ff": self.d_ff,
            "gated": self.gated,
        }


@dataclass(frozen=True)
class MaskArrays:
    """One layer of which only the keep mask is known: `keep` is packed bits uint8 [H, L_q, ceil(L_k / 8)]."""

    number: int
    keep: NDArray[np.uint8]
    L_k: int
    d_head: int
    num_kv_heads: int
    causal: bool
    sequence: int = 0

    def tensors(self) -> Tensors:
        """The packed mask by its stored name."""
        return {f"{prefix_of(self.number, self.sequence)}.keep": self.keep}

    def metadata(self) -> dict[str, Any]:
        """The layer's entry in the metadata."""
        num_heads, L_q = self.keep.shape[:2]
        shape = (num_heads, self.num_kv_heads, L_q, self.L_k, self.d_head)
        return mask_metadata(self.number, self.sequence, *shape, self.causal)


def _numbers(number: int, sequence: int) -> dict[str, int]:
    """Which layer this is; the first sequence goes without saying."""
    return {"number": number, "sequence": sequence} if sequence else {"number": number}


def mask_metadata(
    number: int, sequence: int, num_heads: int, num_kv_heads: int, L_q: int, L_k: int, d_head: int, causal: bool
) -> dict[str, Any]:
    """The entry of a layer that has only masks: d_model is heads x d_head, the scale 1 / sqrt(d_head)."""
    return {
        **_numbers(number, sequence),
        "num_heads": num_heads,
        "num_kv_heads": num_kv_heads,
        "L_q": L_q,
        "L_k": L_k,
        "d_head": d_head,
        "d_model": num_heads * d_head,
        "causal": causal,
        "scale": d_head**-0.5,
        "d_ff": None,
        "gated": None,
    }


def cast(label: str, array: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """The array as `dtype`, itself if it is; TraceError beginning with `label` when a finite value becomes infinite."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if np.isfinite(array).all() and not np.isfinite(converted).all():
        raise TraceError(f"{label}: {np.abs(array).max():g} does not fit {dtype.__name__}")
    return converted


def encode_layers(
    layers: Sequence[LayerArrays | MaskArrays], dtype: type[np.floating[Any]]
) -> tuple[Tensors, list[dict[str, Any]]]:
    """All tensors of a trace by name, and the metadata of its layers; `dtype` (float16, float32) is the store's."""
    tensors: Tensors = {}
    entries = []
    for layer in layers:
        if isinstance(layer, LayerArrays):
            layer.check()
        entry = layer.metadata()
        if isinstance(layer, LayerArrays):
            tensors |= layer.tensors(dtype)
            fits = {str(fit.sigma): encode_fit(layer.prefix, fit, tensors) for fit in layer.predictors}
            entry["predictors"] = fits
        else:
            tensors |= layer.tensors()
        entries.append(entry)
    return tensors, entries


def encode_fit(prefix: str, fit: FittedPredictor, tensors: Tensors) -> dict[str, Any]:
    """The metadata of one predictor of the layer `prefix` (as `layer.3`).

    Its arrays join `tensors`, once where an equal one is there already.
    """
    prefix = f"{prefix}.sigma.{fit.sigma}"
    scales = {
        str(bits): {key: _share(f"{prefix}.scale.{bits}.{key}", array, tensors) for key, array in of_bits.items()}
        for bits, of_bits in fit.scales.items()
    }
    return {
        "k": fit.k,
        "tensors": {field: _share(f"{prefix}.{field}", array, tensors) for field, array in _parts(fit).items()},
        "scales": scales,
        "fitted_on": fit.fitted_on,
    }


def _parts(fit: FittedPredictor) -> Tensors:
    """The tensors of schema.PARTS; position columns stand once, for the keys, as the queries' are the last of them."""
    columns = fit.position_columns
    positions = fit.extra_k[:, :columns]
    if not np.array_equal(fit.extra_q[:, :columns], last_rows(positions, len(fit.extra_q))):
        raise TraceError(f"sigma {fit.sigma}: the queries' position columns are not the last of the keys'")
    return {
        "projection": pack_ternary(fit.projection),
        "w_q": fit.w_q,
        "w_k": fit.w_k,
        "positions": positions,
        "others_q": fit.extra_q[:, columns:],
        "others_k": fit.extra_k[:, columns:],
    }


def _share(name: str, array: NDArray[Any], tensors: Tensors) -> str:
    """The name under which `array` is stored: that of an equal large tensor (position columns), else `name`."""
    if array.nbytes >= SHARED_FROM_BYTES:
        for known, other in tensors.items():
            if other.dtype == array.dtype and np.array_equal(other, array):
                return known
    tensors[name] = array
    return name
