"""A captured layer moved to files, so that memory holds one layer at a time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dsasim.trace.arrays import LayerArrays, cast

FLOATS = ("q", "k", "v", "x_q", "x_kv", "out")


def spill(layer: LayerArrays, folder: Path, dtype: type[np.floating[Any]]) -> LayerArrays:
    """The layer with its large arrays mapped from files, in the type they are stored in; TraceError: an overflow."""
    arrays = {name: getattr(layer, name) for name in (*FLOATS, "bias", "allowed")}
    mapped = {}
    for name, array in arrays.items():
        if array is not None:
            path = folder / f"{layer.prefix}.{name}.npy"
            stored = cast(f"{layer.prefix}.{name}", array, dtype) if name in FLOATS else array
            np.save(path, stored)
            mapped[name] = np.load(path, mmap_mode="r")
    return replace(layer, **mapped)
