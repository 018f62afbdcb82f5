"""Bring keep masks made elsewhere: NumPy in, a trace out, then the machine runs them."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from dsasim import load_arch, load_trace, simulate
from dsasim.trace.masks import import_mask


def window_and_sinks(num_heads: int, length: int, window: int, sinks: int) -> np.ndarray:
    """A causal keep mask [1 layer, heads, L_q, L_k]: the last `window` keys and the first `sinks`."""
    query, key = np.arange(length)[:, None], np.arange(length)[None, :]
    keep = (key <= query) & ((query - key < window) | (key < sinks))
    return np.broadcast_to(keep, (1, num_heads, length, length))


def main(folder: Path) -> None:
    np.save(folder / "mask.npy", window_and_sinks(num_heads=4, length=256, window=24, sinks=4))
    import_mask(folder / "mask.npy", d_head=64, out=folder / "window.safetensors", causal=True)
    result = simulate(load_arch("dsa-decoupled"), load_trace(folder / "window.safetensors"))
    head = result.machine.layers[0].heads[0]
    print(f"density {head.density:.3f}: {head.nnz:,} kept positions are served by {head.k_loads:,} key loads")
    print(f"{result.machine.cycles:,} cycles, at most {result.baseline.speedup_vs_dense:.2f}x faster than dense")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary))
