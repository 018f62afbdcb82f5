"""The tensors that the metadata of a layer calls for, and the trace they make once every shape agrees."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from dsasim.errors import TraceError
from dsasim.trace.attention import AttentionTrace, LayerTrace, PredictorEntry, TraceKind, TraceMeta
from dsasim.trace.schema import FileMeta, LayerMeta, PredictorMeta, prefix_of
from dsasim.trace.tensors import TensorStore

Shape = tuple[int, ...]
FLOATS = (np.dtype("<f2"), np.dtype("<f4"))


def assemble(name: str, meta: FileMeta, tensors: TensorStore) -> AttentionTrace:
    """The trace; TraceError names a tensor that is missing, unknown, or of another shape or type than expected."""
    known: set[str] = set()
    for layer in meta.layers:
        known |= set(_check_layer(layer, tensors, masks_only=_masks_only(meta.kind, layer, tensors)))
    unknown = [tensor for tensor in tensors if tensor not in known]
    if unknown:
        raise TraceError(f"{tensors.label}: tensor {unknown[0]} is not described by the metadata")
    return AttentionTrace(
        meta=TraceMeta(name, meta.kind, meta.model, meta.sha256, meta.format_version, meta.provenance),
        layers=_layers(meta, tensors),
    )


def _layers(meta: FileMeta, tensors: TensorStore) -> dict[tuple[int, int], LayerTrace]:
    """Numbers in the order of the metadata, within one the sequences ascending."""
    place = {number: at for at, number in enumerate(dict.fromkeys(layer.number for layer in meta.layers))}
    in_order = sorted(meta.layers, key=lambda layer: (place[layer.number], layer.sequence))
    several = any(layer.sequence for layer in in_order)
    return {
        (layer.number, layer.sequence): _layer(
            layer, tensors, has_qkv=not _masks_only(meta.kind, layer, tensors), of_several=several
        )
        for layer in in_order
    }


def _masks_only(kind: TraceKind, layer: LayerMeta, tensors: TensorStore) -> bool:
    """Whether a layer is a keep mask alone: in a trace of kind `mask`, and in a synthetic one that has no queries."""
    q, keep = (f"{prefix_of(layer.number, layer.sequence)}.{name}" for name in ("q", "keep"))
    return kind == "mask" or (kind == "synthetic" and q not in tensors and keep in tensors)


def _layer(meta: LayerMeta, tensors: TensorStore, *, has_qkv: bool, of_several: bool) -> LayerTrace:
    shape = meta.model_dump(exclude={"predictors"})
    entries = {sigma: _entry(predictor) for sigma, predictor in meta.predictors.items()}
    return LayerTrace(**shape, has_qkv=has_qkv, of_several=of_several, predictors=entries, source=tensors)


def _entry(meta: PredictorMeta) -> PredictorEntry:
    return PredictorEntry(meta.k, meta.tensors, meta.scales, meta.fitted_on)


def _check_layer(meta: LayerMeta, tensors: TensorStore, *, masks_only: bool) -> Iterator[str]:
    """Check every tensor of one layer, and yield the names of those it has."""
    prefix = prefix_of(meta.number, meta.sequence)
    L_q, packed = meta.L_q, -(-meta.L_k // 8)
    if masks_only:
        yield _check(tensors, f"{prefix}.keep", (meta.num_heads, L_q, packed), np.uint8)
        return
    yield _check(tensors, f"{prefix}.q", (meta.num_heads, L_q, meta.d_head))
    for name in ("k", "v"):
        yield _check(tensors, f"{prefix}.{name}", (meta.num_kv_heads, meta.L_k, meta.d_head))
    yield _check(tensors, f"{prefix}.x_q", (L_q, meta.d_model))
    if f"{prefix}.x_kv" in tensors or L_q != meta.L_k:
        yield _check(tensors, f"{prefix}.x_kv", (meta.L_k, meta.d_model))
    if f"{prefix}.allowed" in tensors:
        yield _check(tensors, f"{prefix}.allowed", (L_q, packed), np.uint8)
    if f"{prefix}.keep" in tensors:
        yield _check(tensors, f"{prefix}.keep", (meta.num_heads, L_q, packed), np.uint8)
    if f"{prefix}.bias" in tensors:
        heads = 1 if tensors.shape(f"{prefix}.bias")[:1] == (1,) else meta.num_heads
        yield _check(tensors, f"{prefix}.bias", (heads, L_q, meta.L_k))
    if f"{prefix}.out" in tensors or f"{prefix}.out_rows" in tensors:
        yield from _check_outputs(prefix, meta, tensors)
    for predictor in meta.predictors.values():
        yield from _check_predictor(meta, predictor, tensors)


def _check_outputs(prefix: str, meta: LayerMeta, tensors: TensorStore) -> Iterator[str]:
    """Sampled outputs: as many rows as `out_rows` names, each of them a query row."""
    rows = f"{prefix}.out_rows"
    num_rows = tensors.shape(rows)[-1] if rows in tensors and tensors.shape(rows) else 0
    yield _check(tensors, rows, (meta.num_heads, num_rows), np.int32)
    yield _check(tensors, f"{prefix}.out", (meta.num_heads, num_rows, meta.d_head))
    numbers = tensors.raw(rows)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= meta.L_q):
        raise TraceError(f"{tensors.label}: {rows} names a row outside 0 to {meta.L_q - 1}")


def _check_predictor(meta: LayerMeta, predictor: PredictorMeta, tensors: TensorStore) -> Iterator[str]:
    """Fitted weights: r from `w_q`, the columns beside the k of XP from those that hold them, the rest to match."""
    names, k = predictor.tensors, predictor.k
    rank = _last(tensors, names["w_q"])
    positions, others = _last(tensors, names["positions"]), _last(tensors, names["others_q"])
    yield _check(tensors, names["projection"], (2, meta.d_model, -(-k // 8)), np.uint8)
    yield _check(tensors, names["w_q"], (meta.num_heads, k + positions + others, rank))
    yield _check(tensors, names["w_k"], (meta.num_kv_heads, k + positions + others, rank))
    yield _check(tensors, names["positions"], (meta.L_k, positions))
    yield _check(tensors, names["others_q"], (meta.L_q, others))
    yield _check(tensors, names["others_k"], (meta.L_k, others))
    if rank == 0:
        raise TraceError(f"{tensors.label}: {names['w_q']} has no columns")
    if positions and meta.L_q > meta.L_k:
        raise TraceError(f"{tensors.label}: {names['positions']}: {meta.L_q} queries are no end of {meta.L_k} keys")
    heads, kv_heads = meta.num_heads, meta.num_kv_heads
    shapes = {"x": (1,), "xp": (1,), "w_q": (heads, rank), "w_k": (kv_heads, rank), "q": (heads,), "k": (kv_heads,)}
    for scales in predictor.scales.values():
        for key, name in scales.items():
            yield _check(tensors, name, shapes[key])


def _last(tensors: TensorStore, name: str) -> int:
    """The last extent of a tensor; 0 when it is missing, which the check that follows reports."""
    shape = tensors.shape(name) if name in tensors else ()
    return shape[-1] if shape else 0


def _check(tensors: TensorStore, name: str, expected: Shape, dtype: Any = None) -> str:
    """The name, once the tensor exists with this shape and type (none given: float16 or float32)."""
    if name not in tensors:
        raise TraceError(f"{tensors.label}: tensor {name} is missing")
    shape = tensors.shape(name)
    if shape != expected:
        raise TraceError(f"{tensors.label}: {name} has shape {list(shape)}; expected {list(expected)}")
    allowed = FLOATS if dtype is None else (np.dtype(dtype),)
    if tensors.dtype(name) not in allowed:
        wanted = " or ".join(str(kind) for kind in allowed)
        raise TraceError(f"{tensors.label}: {name} is {tensors.dtype(name)}; expected {wanted}")
    return name
