"""Reading and writing trace files: safetensors with one JSON string of metadata (traces/README.md)."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dsasim.errors import TraceError
from dsasim.trace.arrays import LayerArrays, MaskArrays, encode_layers
from dsasim.trace.attention import AttentionTrace, Kind
from dsasim.trace.layout import assemble
from dsasim.trace.schema import FORMAT_VERSION, METADATA_KEY, check_metadata, parse_metadata
from dsasim.trace.tensors import MappedTensors, MemoryTensors, TensorStore, write_tensors

VERIFIED_BELOW_BYTES = 64 * 1024 * 1024
"""Files smaller than this have their digest checked whenever they are opened (10 ms for 8 MB)."""

Layers = Sequence[LayerArrays | MaskArrays]
Dtype = Literal["float16", "float32"]


def open_trace(path: Path) -> AttentionTrace:
    """The trace in a file, its tensors left on disk until they are read; TraceError says what is wrong with it."""
    tensors = MappedTensors(path)
    meta = parse_metadata(str(path), tensors.metadata.get(METADATA_KEY))
    trace = assemble(path.stem, meta, tensors)
    if tensors.size_bytes < VERIFIED_BELOW_BYTES:
        verify_digest(trace)
    return trace


def verify_digest(trace: AttentionTrace) -> None:
    """Recompute the digest of the whole content; TraceError when it is not the recorded one (or names a NaN found)."""
    tensors = next(iter(trace)).source
    if not isinstance(tensors, MappedTensors):
        return
    metadata = json.loads(tensors.metadata[METADATA_KEY])
    digest = content_digest(metadata, tensors)
    if digest == trace.meta.sha256:
        return
    for name in tensors:
        tensors.read(name)
    raise TraceError(
        f"{tensors.path}: content has sha256 {digest[:12]}…, the metadata says {trace.meta.sha256[:12]}…: "
        "the file was damaged or edited"
    )


def write_trace(
    path: Path,
    layers: Layers,
    *,
    kind: Kind,
    model: str,
    provenance: Mapping[str, Any],
    dtype: Dtype = "float16",
) -> None:
    """Write a trace under a temporary name, then rename it; TraceError when the layers or the place are not fit for it.

    The same layers give the same bytes. `dtype` is what Q, K, V, X and outputs are stored as. A link is followed; a
    device, a pipe or a folder is refused, since nothing may be renamed over it.
    """
    if path.exists() and not path.is_file():
        raise TraceError(f"{path}: cannot be written: not a regular file")
    tensors, metadata = _encode(path.stem, layers, kind, model, provenance, dtype)
    text = _canonical(metadata)
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        write_tensors(part, tensors, {METADATA_KEY: text})
        part.replace(target)
    except OSError as error:
        raise TraceError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def trace_in_memory(
    name: str,
    layers: Layers,
    *,
    kind: Kind = "synthetic",
    model: str = "",
    provenance: Mapping[str, Any] | None = None,
    dtype: Dtype = "float16",
) -> AttentionTrace:
    """The trace that `write_trace` followed by `open_trace` gives, without a file."""
    tensors, metadata = _encode(name, layers, kind, model, provenance or {}, dtype)
    return assemble(name, check_metadata(name, metadata), tensors)


def content_digest(metadata: Mapping[str, Any], tensors: TensorStore) -> str:
    """sha256 over the metadata (its own `sha256` apart) and each tensor's name, type, shape and bytes, by name."""
    digest = hashlib.sha256(_canonical({key: value for key, value in metadata.items() if key != "sha256"}).encode())
    for name in tensors:
        digest.update(_canonical([name, tensors.dtype(name).str, list(tensors.shape(name))]).encode())
        digest.update(np.ascontiguousarray(tensors.raw(name)).data)
    return digest.hexdigest()


def _encode(
    name: str, layers: Layers, kind: Kind, model: str, provenance: Mapping[str, Any], dtype: Dtype
) -> tuple[MemoryTensors, dict[str, Any]]:
    """Tensors and metadata of a trace, checked in full: shapes, and every value finite."""
    arrays, entries = encode_layers(layers, np.float16 if dtype == "float16" else np.float32)
    tensors = MemoryTensors(name, {key: np.ascontiguousarray(array) for key, array in arrays.items()})
    metadata: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "model": model,
        "provenance": dict(provenance),
        "layers": entries,
    }
    try:
        metadata["sha256"] = content_digest(metadata, tensors)
    except (TypeError, ValueError, RecursionError) as error:
        raise TraceError(f"{name}: metadata that JSON cannot hold: {error}") from error
    assemble(name, check_metadata(name, metadata), tensors)
    for key in tensors:
        tensors.read(key)
    return tensors, metadata


def _canonical(value: object) -> str:
    """JSON with one spelling for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
