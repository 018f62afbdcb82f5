"""Reading and writing trace files: safetensors with one JSON string of metadata (traces/README.md)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dsasim.errors import TraceError
from dsasim.trace.arrays import LayerArrays, MaskArrays, Tensors, encode_layers
from dsasim.trace.attention import AttentionTrace, TraceKind
from dsasim.trace.digest import as_read, content_digest
from dsasim.trace.find import trace_name
from dsasim.trace.layout import assemble
from dsasim.trace.schema import METADATA_KEY, check_metadata, describe, metadata_document
from dsasim.trace.stream import StreamedTensor, write_stream
from dsasim.trace.tensors import MappedTensors, MemoryTensors

VERIFIED_BELOW_BYTES = 64 * 1024 * 1024
"""Files smaller than this have their digest checked whenever they are opened (10 ms for 8 MB)."""

Layers = Sequence[LayerArrays | MaskArrays]
Dtype = Literal["float16", "float32"]


def open_trace(path: Path) -> AttentionTrace:
    """The trace in a file, its tensors left on disk until they are read; TraceError says what is wrong with it."""
    name = trace_name(path)
    tensors = MappedTensors(path)
    document = metadata_document(tensors.label, tensors.metadata.get(METADATA_KEY))
    trace = assemble(name, check_metadata(tensors.label, document), tensors)
    if tensors.size_bytes < VERIFIED_BELOW_BYTES:
        verify_digest(trace)
    return trace


def verify_digest(trace: AttentionTrace) -> None:
    """Recompute the digest of the whole content; TraceError when it is not the recorded one (or names a NaN found)."""
    tensors = next(iter(trace)).source
    if not isinstance(tensors, MappedTensors):
        return
    metadata = metadata_document(tensors.label, tensors.metadata[METADATA_KEY])
    digest = content_digest(metadata, tensors)
    if digest == trace.meta.sha256:
        return
    for name in tensors:
        tensors.read(name)
    raise TraceError(
        f"{tensors.label}: content has sha256 {digest[:12]}…, the metadata says {trace.meta.sha256[:12]}…: "
        "the file was damaged or edited"
    )


def write_trace(
    path: Path,
    layers: Layers,
    *,
    kind: TraceKind,
    model: str,
    provenance: Mapping[str, Any],
    dtype: Dtype = "float16",
) -> None:
    """Write a trace under a temporary name, then rename it; TraceError when the layers or the place are not fit for it.

    The same layers give the same bytes. `dtype` is what Q, K, V, X and outputs are stored as. A link is followed; a
    device, a pipe or a folder is refused, since nothing may be renamed over it.
    """
    arrays, metadata = _described(layers, kind, model, provenance, dtype)
    write_stream(path, {key: StreamedTensor.of(array) for key, array in arrays.items()}, metadata)


def trace_in_memory(
    name: str,
    layers: Layers,
    *,
    kind: TraceKind = "synthetic",
    model: str = "",
    provenance: Mapping[str, Any] | None = None,
    dtype: Dtype = "float16",
) -> AttentionTrace:
    """The trace that `write_trace` followed by `open_trace` gives, without a file."""
    trace_name(Path(name))
    tensors, metadata = _encode(name, layers, kind, model, provenance or {}, dtype)
    return assemble(name, check_metadata(name, metadata), tensors)


def _encode(
    name: str, layers: Layers, kind: TraceKind, model: str, provenance: Mapping[str, Any], dtype: Dtype
) -> tuple[MemoryTensors, dict[str, Any]]:
    """Tensors and metadata of a trace, checked in full: shapes, and every value finite."""
    arrays, metadata = _described(layers, kind, model, provenance, dtype)
    tensors = MemoryTensors(name, arrays)
    metadata = as_read(name, metadata)
    metadata["sha256"] = content_digest(metadata, tensors)
    assemble(name, check_metadata(name, metadata), tensors)
    for key in tensors:
        tensors.read(key)
    return tensors, metadata


def _described(
    layers: Layers, kind: TraceKind, model: str, provenance: Mapping[str, Any], dtype: Dtype
) -> tuple[Tensors, dict[str, Any]]:
    """Contiguous tensors by name, and the metadata without its digest."""
    arrays, entries = encode_layers(layers, np.float16 if dtype == "float16" else np.float32)
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}, describe(
        entries, kind, model, provenance
    )
