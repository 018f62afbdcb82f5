"""Keep masks from outside: a NumPy file of booleans becomes a trace of kind `mask`."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import write_trace

ROWS_AT_A_TIME = 256
AXES = "[layers, heads, L_q, L_k]"


def import_mask(
    npy_path: Path,
    d_head: int,
    out: Path,
    *,
    causal: bool = False,
    num_kv_heads: int | None = None,
    pruned_is_true: bool = False,
) -> None:
    """Write the masks of a `.npy` file, bool [layers, heads, L_q, L_k] with True = kept, as a trace.

    Layers are numbered from 0; `num_kv_heads` none means one for each head. The file is memory-mapped, packed some rows
    at a time, and nothing is unpickled. TraceError when it is not such a file, or when a causal mask keeps positions
    above the diagonal (key j for row i with j > i + L_k - L_q), which contradicts itself.
    """
    if out.exists() and npy_path.exists() and out.samefile(npy_path):
        raise TraceError(f"{out}: the trace would replace the masks it is made from")
    masks = _open_masks(npy_path)
    num_layers, num_heads, L_q, L_k = masks.shape
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    if d_head < 1:
        raise TraceError(f"{npy_path}: d_head {d_head} is not a positive number of elements")
    if kv_heads < 1 or num_heads % kv_heads:
        raise TraceError(f"{npy_path}: {kv_heads} kv heads do not divide the mask's {num_heads} heads")
    forbidden = 0
    layers = []
    for number in range(num_layers):
        keep = np.empty((num_heads, L_q, -(-L_k // 8)), dtype=np.uint8)
        for head, first in product(range(num_heads), range(0, L_q, ROWS_AT_A_TIME)):
            part = masks[number, head, first : first + ROWS_AT_A_TIME]
            kept = ~part if pruned_is_true else part
            if causal:
                forbidden += int(np.count_nonzero(np.triu(kept, first + L_k - L_q + 1)))
            keep[head, first : first + ROWS_AT_A_TIME] = pack_bits(kept)
        layers.append(MaskArrays(number, keep, L_k, d_head, kv_heads, causal))
    if forbidden:
        raise TraceError(
            f"{npy_path}: the mask is said to be causal and keeps {forbidden} positions above the diagonal"
        )
    provenance = {"file": npy_path.name, "pruned_is_true": pruned_is_true}
    write_trace(out, layers, kind="mask", model="none (imported mask)", provenance=provenance)


def _open_masks(path: Path) -> NDArray[Any]:
    """The file's array, mapped and checked; TraceError otherwise."""
    try:
        masks = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise TraceError(f"{path}: not a NumPy array file (.npy) of booleans {AXES}: {reason}") from error
    if masks.dtype != np.bool_:
        raise TraceError(f"{path}: type {masks.dtype}; a mask is bool {AXES}")
    if masks.ndim != 4:
        raise TraceError(f"{path}: shape {list(masks.shape)} has {masks.ndim} axes; a mask has four, {AXES}")
    if masks.size == 0:
        raise TraceError(f"{path}: shape {list(masks.shape)} holds no position")
    return masks
