"""Layer inputs of earlier forward passes: with a KV cache they belong to the cached keys of a decode step."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.trace.capture.frames import LayerInput
from dsasim.trace.capture.layer import Inputs

Float32 = NDArray[np.float32]
SAME_KEYS = 0.05
"""Rel. L2 between cached keys and those computed: a cache may store fewer bits, another sequence differs wholly."""


class InputHistory:
    """The inputs that every attention module was given before the pass that is captured, in files of a folder.

    And the keys of its first head that it made of them, to see whether a cache still holds these.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[tuple[str, int], list[Path]] = {}
        """Of each module and sample."""

    def add(self, given: LayerInput, sample: int, keys: Float32) -> None:
        """Remember the input of a self-attention in an earlier pass; `keys` [L_k, d_head], new ones and cached."""
        if given.x_kv is None:
            x = _rows(given.x_q, sample)
            begin = min(self.known_keys(given, sample) - given.own_keys, len(keys)) - len(
                x
            )  # after them a static cache is free
            files = self._files.setdefault((given.frame.name, sample), [])
            path = self._folder / f"history.{given.frame.name}.{sample}.{len(files)}.npy"
            np.save(path, x)
            np.save(path.with_suffix(".keys.npy"), keys[begin : begin + len(x)])
            files.append(path)

    def check(self, given: LayerInput, sample: int, keys: Float32) -> None:
        """TraceError when the cached of `keys` [L_k, d_head] are not those that earlier passes made of their inputs."""
        files = self._files.get((given.frame.name, sample), ()) if given.x_kv is None else ()
        made = [np.load(path.with_suffix(".keys.npy")) for path in files]
        cached = keys[: len(keys) - int(given.x_q.shape[1]) - given.own_keys]
        if not made or not len(cached):
            return
        expected = np.concatenate(made)[-len(cached) :]
        if len(expected) == len(cached) and np.square(expected - cached).sum() > SAME_KEYS**2 * np.square(cached).sum():
            raise TraceError(
                "the cached keys are not those that this sample had in earlier passes, so their layer inputs are not "
                "known: beam search moves them between samples"
            )

    def known_keys(self, given: LayerInput, sample: int) -> int:
        """Keys whose layer inputs were seen: those of this pass and of earlier ones."""
        if given.x_kv is not None:
            return int(given.x_kv.shape[1]) + given.own_keys
        earlier = [np.load(path, mmap_mode="r") for path in self._files.get((given.frame.name, sample), ())]
        return sum(len(rows) for rows in earlier) + int(given.x_q.shape[1]) + given.own_keys

    def inputs(self, L_k: int, given: LayerInput, sample: int) -> Inputs:
        """x_q and x_kv of an attention over L_k keys; TraceError when they come from what no hook has seen."""
        x_q = _rows(given.x_q, sample)
        own_keys = np.zeros((given.own_keys, 1), dtype=np.float32)
        if given.x_kv is not None:
            return Inputs(x_q, _stacked(_rows(given.x_kv, sample), own_keys))
        if L_k == len(x_q):
            return Inputs(x_q, None)
        earlier = [np.load(path) for path in self._files.get((given.frame.name, sample), ())]
        known = _stacked(*earlier, x_q, own_keys)
        if len(known) < L_k:
            raise TraceError(
                f"{L_k} keys, and only {len(known)} layer inputs were seen: with a KV cache run the prefill "
                "inside the `with` block too, and keep a later pass by step=…"
            )
        # a sliding cache has dropped the oldest keys
        return Inputs(x_q, known[len(known) - L_k :])


def _stacked(*parts: Float32) -> Float32:
    """Rows below each other; the keys that come from no input are rows of zeros."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([np.broadcast_to(part, (len(part), width)) for part in parts])


def _rows(x: Any, sample: int) -> Float32:
    """One sample's input [L, D] in float32."""
    array: Float32 = x[sample].detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().copy()
    return array
