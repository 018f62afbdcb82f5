"""Small traces with a fitted predictor and the outputs that a model would have given, to validate and to corrupt."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from shutil import which
from typing import Any

import numpy as np
import pytest
from attention_rebuilt import rebuilt

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.positions import Positions
from dsasim.trace.store import trace_in_memory
from dsasim.train.closed_form import FitSequence, fit_layer


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if g++ were not installed, except where a test undoes it: a compilation of FlexAttention takes seconds.

    Not by CXX, which PyTorch reads once and keeps.
    """
    monkeypatch.setattr("shutil.which", lambda name, *rest: None if name == "g++" else which(name, *rest))


@pytest.fixture
def make_arch() -> Callable[..., ArchConfig]:
    """The default design for sigma 0.5 at density 0.3, with overrides as in --set."""
    small = ("predictor.sigma=0.5", "mask_generator.density=0.3")
    return lambda *overrides: load_arch("dsa-decoupled", (*small, *overrides))


@pytest.fixture
def make_arrays() -> Callable[..., LayerArrays]:
    """A layer with outputs at four rows a head; `fitted` adds a predictor. Fields of LayerArrays by name."""

    def make(
        heads: int = 4,
        kv_heads: int = 2,
        L_q: int = 24,
        L_k: int = 24,
        d_head: int = 8,
        d_model: int = 32,
        fitted: bool = False,
        seed: int = 0,
        **fields: Any,
    ) -> LayerArrays:
        weights, rng = np.random.default_rng(1), np.random.default_rng(seed)
        w_q, w_k = weights.normal(size=(heads, d_model, d_head)), weights.normal(size=(kv_heads, d_model, d_head))
        x_k = rng.normal(size=(L_k, d_model)).astype(np.float32)
        x_q = x_k if L_q == L_k else rng.normal(size=(L_q, d_model)).astype(np.float32)
        layer = LayerArrays(
            number=5,
            q=(x_q @ w_q / d_head).astype(np.float32),
            k=(x_k @ w_k / d_head).astype(np.float32),
            v=rng.normal(size=(kv_heads, L_k, d_head)).astype(np.float32),
            x_q=x_q,
            x_kv=None if L_q == L_k else x_k,
            **({"causal": True, "scale": d_head**-0.5} | fields),
        )
        if fitted:
            others = [make(heads, kv_heads, L_q, L_k, d_head, d_model, seed=7 + i, **fields) for i in range(4)]
            sequences = [FitSequence(other.x_q, other.q, other.k) for other in others]
            where = Positions(L_q, L_k, layer.causal, packed=None)
            fit = fit_layer(sequences, where, Decimal("0.5"), fitted_on="four random inputs", rotary_base=None)
            layer = replace(layer, predictors=(fit,))
        return with_outputs(layer)

    return make


def with_outputs(layer: LayerArrays) -> LayerArrays:
    """The layer with exact outputs at up to four rows that may attend to something."""
    whole = trace_in_memory("small", [layer], dtype="float32").layer(layer.number)
    rows = np.flatnonzero(whole.allowed_counts)[:: max(1, len(whole.allowed_counts) // 4)][:4]
    with np.errstate(invalid="ignore"):
        out = rebuilt(whole)[:, rows]
    return replace(layer, out_rows=np.tile(rows, (len(layer.q), 1)), out=out)
