"""Keep masks without tensors: read from a NumPy file or made by a rule, written as a trace some rows at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.inputs.npy import map_npy
from dsasim.inputs.printable import printable
from dsasim.inputs.source import Source
from dsasim.trace.arrays import mask_metadata
from dsasim.trace.attention import TraceKind
from dsasim.trace.packing import Bool, pack_bits
from dsasim.trace.positions import BLOCK_POSITIONS
from dsasim.trace.schema import describe, layer_label, prefix_of
from dsasim.trace.stream import StreamedTensor, write_stream

MAX_BYTES = 1 << 40
"""Of masks in a file, which are mapped and never read whole."""

AXES = "[layers, heads, L_q, L_k]"
BATCH_AXES = "[batch, layers, heads, L_q, L_k]"


@dataclass(frozen=True)
class MaskRows:
    """One layer's keep masks, to be had some rows at a time: keep(head, first, num_rows) is bool [num_rows, L_k].

    `source` is what errors name.
    """

    source: str
    number: int
    num_heads: int
    num_kv_heads: int
    L_q: int
    L_k: int
    d_head: int
    causal: bool
    keep: Callable[[int, int, int], Bool]
    sequence: int = 0

    @property
    def name(self) -> str:
        """The name of its tensor."""
        return f"{prefix_of(self.number, self.sequence)}.keep"

    def metadata(self) -> dict[str, Any]:
        """The layer's entry in the metadata of a trace that has nothing else of it."""
        shape = (self.num_heads, self.num_kv_heads, self.L_q, self.L_k, self.d_head)
        return mask_metadata(self.number, self.sequence, *shape, self.causal)

    def tensor(self) -> StreamedTensor:
        """The packed masks of all heads."""
        return StreamedTensor(np.dtype(np.uint8), (self.num_heads, self.L_q, -(-self.L_k // 8)), self._packed)

    def _packed(self) -> Iterator[NDArray[np.uint8]]:
        """Packed rows, heads one after the other. TraceError, at the end, for positions that causality forbids."""
        step, forbidden = max(1, BLOCK_POSITIONS // self.L_k), 0
        for head in range(self.num_heads):
            for first in range(0, self.L_q, step):
                keep = self.keep(head, first, min(step, self.L_q - first))
                if self.causal:
                    forbidden += int(np.count_nonzero(np.triu(keep, first + self.L_k - self.L_q + 1)))
                yield pack_bits(keep)
        if forbidden:
            raise TraceError(
                f"{self.source}: the mask is said to be causal and keeps {forbidden} positions above the diagonal"
                f" in layer {layer_label(self.number, self.sequence or None)}"
            )


def write_masks(
    path: Path, layers: Sequence[MaskRows], *, kind: TraceKind, model: str, provenance: Mapping[str, Any]
) -> None:
    """Write a trace of masks alone; memory is bounded by a block of rows. TraceError: see `write_stream`."""
    tensors = {layer.name: layer.tensor() for layer in layers}
    write_stream(path, tensors, describe([layer.metadata() for layer in layers], kind, model, provenance))


def import_mask(
    npy_path: Path,
    d_head: int,
    out: Path,
    *,
    causal: bool = False,
    num_kv_heads: int | None = None,
    pruned_is_true: bool = False,
    sample: int | Literal["all"] | None = None,
) -> None:
    """Write the masks of a `.npy` file, bool [layers, heads, L_q, L_k] with True = kept, as a trace.

    Of a batch [batch, layers, heads, L_q, L_k] one `sample` is taken, counted from 0, or all, each of which becomes a
    sequence of the trace. Layers are numbered from 0; `num_kv_heads` none means one for each head. The file is
    memory-mapped, read and packed some rows at a time, and nothing is unpickled. TraceError when it is not such a file,
    or when a causal mask keeps positions above the diagonal (key j for row i with j > i + L_k - L_q), which contradicts
    itself.
    """
    if _same_file(out, npy_path):
        raise TraceError(f"{printable(out)}: the trace would replace the masks it is made from")
    source = Source(npy_path, f"a NumPy array file (.npy) of booleans {AXES}", MAX_BYTES, TraceError)
    masks, provenance = _samples(source, sample)
    num_sequences, num_layers, num_heads, L_q, L_k = masks.shape
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    if d_head < 1:
        source.refuse(f"d_head {d_head} is not a positive number of elements")
    if kv_heads < 1 or num_heads % kv_heads:
        source.refuse(f"{kv_heads} kv heads do not divide the mask's {num_heads} heads")

    def rows_of(number: int, sequence: int) -> Callable[[int, int, int], Bool]:
        def rows(head: int, first: int, num_rows: int) -> Bool:
            # mapped anew each time: pages of a mapping that lives on count as memory of this process
            part = np.array(_samples(source, sample)[0][sequence, number, head, first : first + num_rows])
            if part.view(np.uint8).max() > 1:
                source.refuse(f"a byte of layer {number} head {head} is neither 0 nor 1, so not a boolean")
            return ~part if pruned_is_true else part

        return rows

    shape = (num_heads, kv_heads, L_q, L_k, d_head, causal)
    layers = [
        MaskRows(source.label, number, *shape, rows_of(number, sequence), sequence)
        for number, sequence in product(range(num_layers), range(num_sequences))
    ]
    provenance = {"file": printable(npy_path.name), "pruned_is_true": pruned_is_true} | provenance
    write_masks(out, layers, kind="mask", model="none (imported mask)", provenance=provenance)


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one is not there, or cannot be reached: said where it is opened
        return False


def _samples(source: Source, sample: int | Literal["all"] | None) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """The masks of the chosen samples [samples, layers, heads, L_q, L_k], mapped, and what to say of the choice."""
    masks = _open_masks(source)
    if masks.ndim == 4:
        if sample is not None:
            source.refuse(f"shape {list(masks.shape)} is no batch, there is no sample {sample} to choose")
        return masks[None], {}
    batch = len(masks)
    if sample == "all":
        return masks, {"sample": "all", "batch": batch}
    if sample is None and batch > 1:
        source.refuse(f"shape {list(masks.shape)} is a batch, {BATCH_AXES}: choose a sample, 0-{batch - 1}, or all")
    chosen = sample or 0
    if not 0 <= chosen < batch:
        source.refuse(f"no sample {chosen} in a batch of {batch}: choose one of 0-{batch - 1}, or all")
    return masks[chosen : chosen + 1], {"sample": chosen, "batch": batch}


def _open_masks(source: Source) -> NDArray[np.bool_]:
    """The file's array, mapped and checked; TraceError otherwise."""
    masks = map_npy(source)
    if masks.dtype != np.bool_:
        source.refuse(f"type {masks.dtype}; a mask is bool {AXES}")
    if masks.ndim not in (4, 5):
        source.refuse(f"shape {list(masks.shape)} has {masks.ndim} axes; a mask has four, {AXES}, a batch five")
    if masks.size == 0:
        source.refuse(f"shape {list(masks.shape)} holds no position")
    return masks
