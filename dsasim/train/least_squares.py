"""The static scale of some values: what is fitted once and held by the hardware."""

import numpy as np

from dsasim.methods.quantise import Floating, largest_code


def least_squares_scale(values: Floating, bits: int, num_candidates: int = 16) -> float:
    """The static scale whose codes give `values` (any shape) back with the least squared error, as a float32.

    Searched on the clipping point, from 1/num_candidates of the largest magnitude to all of it, then once more
    between the neighbours of the best. All-zero values get 1.
    """
    flat = np.asarray(values, dtype=np.float32).ravel()
    largest = float(np.abs(flat).max(initial=0.0))
    if largest == 0.0:
        return 1.0
    step = largest / num_candidates
    best = _best_clip(flat, np.linspace(step, largest, num_candidates), bits)
    fine = np.linspace(max(best - step, step / num_candidates), min(best + step, largest), num_candidates)
    return float(np.float32(_best_clip(flat, fine, bits) / largest_code(bits)))


def _best_clip(values: Floating, clips: Floating, bits: int) -> float:
    top = np.float32(largest_code(bits))
    errors = []
    for clip in clips:
        scale = np.float32(clip) / top
        difference = np.clip(np.rint(values / scale), -top, top) * scale - values
        errors.append(float(np.dot(difference, difference)))
    return float(clips[int(np.argmin(errors))])
