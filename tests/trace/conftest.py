"""Small layers and traces to break."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import FittedPredictor, LayerTrace
from dsasim.trace.store import content_digest, write_trace
from dsasim.trace.tensors import MappedTensors, MemoryTensors

Break = Callable[[dict[str, np.ndarray], dict[str, Any]], None]


@pytest.fixture
def make_layer() -> Callable[..., LayerArrays]:
    """Random layers of any shape; further fields of LayerArrays by name."""

    def make(
        number: int = 3,
        heads: int = 4,
        kv_heads: int = 2,
        L_q: int = 10,
        L_k: int = 10,
        d_head: int = 8,
        d_model: int = 12,
        seed: int = 0,
        **fields: Any,
    ) -> LayerArrays:
        rng = np.random.default_rng(seed)
        defaults = {"causal": False, "scale": d_head**-0.5} | fields
        if L_q != L_k:
            defaults.setdefault("x_kv", rng.normal(size=(L_k, d_model)))
        return LayerArrays(
            number=number,
            q=rng.normal(size=(heads, L_q, d_head)),
            k=rng.normal(size=(kv_heads, L_k, d_head)),
            v=rng.normal(size=(kv_heads, L_k, d_head)),
            x_q=rng.normal(size=(L_q, d_model)),
            **defaults,
        )

    return make


@pytest.fixture
def make_fit() -> Callable[..., FittedPredictor]:
    """Random predictor weights that fit a layer of `make_layer`."""

    def make(
        sigma: str = "0.25",
        heads: int = 4,
        kv_heads: int = 2,
        L_q: int = 10,
        L_k: int = 10,
        d_model: int = 12,
        positions: int = 1,
    ) -> FittedPredictor:
        rng = np.random.default_rng(1)
        k, others, rank = 3, 2, 2

        def floats(*shape: int) -> np.ndarray:
            return rng.normal(size=shape).astype(np.float32)

        def scales(heads: int, kv_heads: int, rank: int) -> dict[str, np.ndarray]:
            shapes = {"x": 1, "xp": 1, "w_q": (heads, rank), "w_k": (kv_heads, rank), "q": heads, "k": kv_heads}
            return {key: rng.random(shape, dtype=np.float32) for key, shape in shapes.items()}

        columns = floats(L_k, positions)
        return FittedPredictor(
            sigma=Decimal(sigma),
            projection=rng.integers(-1, 2, (d_model, k)).astype(np.int8),
            w_q=floats(heads, k + positions + others, rank),
            w_k=floats(kv_heads, k + positions + others, rank),
            extra_q=np.hstack(
                [columns[L_k - L_q :] if positions else np.zeros((L_q, 0), np.float32), floats(L_q, others)]
            ),
            extra_k=np.hstack([columns, floats(L_k, others)]),
            scales={bits: scales(heads, kv_heads, rank) for bits in (4, 8)},
            position_columns=positions,
            fitted_on="other text",
        )

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write layers to a file and return its path."""

    def to_file(*layers: Any, name: str = "small", **options: Any) -> Path:
        path = tmp_path / f"{name}.safetensors"
        fields = {"kind": "synthetic", "model": "none", "provenance": {"seed": 0}} | options
        write_trace(path, layers, **fields)
        return path

    return to_file


@pytest.fixture
def broken(tmp_path: Path, write: Callable[..., Path], make_layer: Callable[..., LayerArrays]) -> Callable[..., Path]:
    """A small trace after `change(tensors, metadata)`, its digest made right again unless told otherwise."""

    def make(change: Break, *, layer: LayerArrays | None = None, redigest: bool = True) -> Path:
        original = write(layer or make_layer(), name="original")
        tensors, metadata = load_file(original), json.loads(MappedTensors(original).metadata["dsasim"])
        change(tensors, metadata)
        if redigest:
            metadata["sha256"] = content_digest(metadata, MemoryTensors("", tensors))
        path = tmp_path / "broken.safetensors"
        save_file(tensors, path, metadata={"dsasim": json.dumps(metadata)})
        return path

    return make


@pytest.fixture(scope="session")
def sampled_outputs() -> Callable[[LayerTrace, int], tuple[np.ndarray, np.ndarray] | None]:
    """Of a head: query rows [n] and the model's own attention output at them [n, d_head]; None if none are stored."""

    def read(layer: LayerTrace, head: int) -> tuple[np.ndarray, np.ndarray] | None:
        rows, out = f"layer.{layer.number}.out_rows", f"layer.{layer.number}.out"
        if out not in layer.source:
            return None
        return layer.source.read(rows, head).astype(np.int64), layer.source.read(out, head).astype(np.float32)

    return read
