"""Layer inputs of earlier forward passes: with a KV cache they belong to the cached keys of a decode step."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.frames import LayerInput
from dsasim.trace.capture.layer import Inputs

Float32 = NDArray[np.float32]


class InputHistory:
    """The inputs that every attention module was given before the pass that is captured, in files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, list[Path]] = {}

    def add(self, given: LayerInput, sample: int) -> None:
        """Remember the input of a self-attention in an earlier pass."""
        if given.x_kv is None:
            files = self._files.setdefault(given.frame.name, [])
            path = self._folder / f"history.{given.frame.name}.{len(files)}.npy"
            np.save(path, _rows(given.x_q, sample))
            files.append(path)

    def inputs(self, call: AttentionCall, given: LayerInput, sample: int) -> Inputs:
        """x_q and x_kv of a call; TraceError when the keys come from what no hook has seen."""
        x_q = _rows(given.x_q, sample)
        if given.x_kv is not None:
            return Inputs(x_q, _rows(given.x_kv, sample))
        if call.L_k == call.L_q:
            return Inputs(x_q, None)
        earlier = [np.load(path) for path in self._files.get(given.frame.name, ())]
        known = np.concatenate([*earlier, x_q])
        if len(known) < call.L_k:
            raise TraceError(
                f"{call.L_k} keys, and only {len(known)} layer inputs were seen: with a KV cache run the prefill "
                "inside the `with` block too, and keep a later pass by step=…"
            )
        # a sliding cache has dropped the oldest keys
        return Inputs(x_q, known[len(known) - call.L_k :])


def _rows(x: Any, sample: int) -> Float32:
    """One sample's input [L, D] in float32."""
    array: Float32 = x[sample].detach().to(device="cpu", dtype=torch.float32).contiguous().numpy().copy()
    return array
