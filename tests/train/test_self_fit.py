"""Predictors fitted on the trace they predict: what is written, what it says of itself, and what is refused."""

import json
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.errors import TraceError
from dsasim.predictors import load_predictor
from dsasim.trace.attention import LayerTrace
from dsasim.trace.store import open_trace
from dsasim.trace.stream import StreamedTensor, write_stream
from dsasim.trace.synthetic import Synthetic, write_synthetic
from dsasim.trace.tensors import MappedTensors
from dsasim.train.closed_form import FitSequence, fit_batch, fit_layer
from dsasim.train.self_fit import fit_trace, known_rotary_base

QUARTER = Decimal("0.25")


def capture(path: Path, source: Path, *layers: int, **provenance: Any) -> Path:
    """Some layers of a trace as a fresh capture has them: without predictors."""
    stored = MappedTensors(source)
    metadata = json.loads(stored.metadata["dsasim"])
    del metadata["sha256"]
    metadata["provenance"] |= provenance
    metadata["layers"] = [entry | {"predictors": {}} for entry in metadata["layers"] if entry["number"] in layers]
    prefixes = tuple(f"layer.{number}." for number in layers)
    names = [name for name in stored if name.startswith(prefixes) and ".sigma." not in name]
    write_stream(path, {name: StreamedTensor.of(stored.raw(name)) for name in names}, metadata)
    return path


@pytest.fixture
def minilm(tmp_path: Path, root: Path) -> Path:
    """Layers 0 and 5 of MiniLM."""
    return capture(tmp_path / "fresh.safetensors", root / "traces" / "minilm-l128.safetensors", 0, 5)


def test_a_fresh_capture_runs_on_the_default_design(minilm: Path, tmp_path: Path) -> None:
    fit_trace(minilm, tmp_path / "fitted.safetensors", [QUARTER])
    trace = load_trace(tmp_path / "fitted.safetensors")
    assert {layer.predictors[QUARTER].fitted_on for layer in trace} == {"self"}
    result = simulate(load_arch("dsa-decoupled"), trace, heads=[0, 1])
    assert result.notes == ("the predictor was fitted on this very trace: expect lower recall on unseen input",)
    assert result.to_json()["notes"] == list(result.notes)
    assert result.quality is not None
    assert result.quality.random.mask_recall_ratio < 0.15
    assert result.quality.ours.mask_recall_ratio > 0.4
    free = simulate(load_arch("dsa-decoupled", ["predictor.method=oracle_topk"]), trace, heads=[0])
    assert free.notes == ()


def test_everything_else_is_left_as_it_is(minilm: Path, tmp_path: Path) -> None:
    fit_trace(minilm, tmp_path / "fitted.safetensors", [Decimal("0.5"), Decimal("0.1")], rank=3)
    before, after = MappedTensors(minilm), MappedTensors(tmp_path / "fitted.safetensors")
    assert all(np.array_equal(before.raw(name), after.raw(name)) for name in before)
    trace, original = open_trace(after.path), open_trace(minilm)
    assert (trace.meta.provenance, trace.meta.kind) == (original.meta.provenance, "real")
    layer = trace.layer(5)
    assert layer.sigmas == (Decimal("0.1"), Decimal("0.5"))
    fitted = layer.predictor(Decimal("0.5"))
    assert fitted is not None
    assert (fitted.k, fitted.rank, fitted.position_columns) == (192, 3, 0)


def test_it_is_the_closed_form_on_the_stored_tensors(minilm: Path, tmp_path: Path) -> None:
    fit_trace(minilm, tmp_path / "fitted.safetensors", [QUARTER], seed=7)
    layer = open_trace(tmp_path / "fitted.safetensors").layer(5)
    q, k = (np.stack([side(head) for head in range(12)]) for side in (layer.q, layer.k))
    expected = fit_layer([FitSequence(layer.x_q(), q, k)], layer.positions, QUARTER, fitted_on="self", seed=7)
    found = layer.predictor(QUARTER)
    assert found is not None
    assert np.array_equal(found.projection, expected.projection)
    assert np.array_equal(found.w_q, expected.w_q)
    assert np.array_equal(found.scales[4]["k"], expected.scales[4]["k"])


def captured_mass(path: Path) -> float:
    quality = simulate(load_arch("dsa-decoupled"), load_trace(path), heads=[0]).quality
    assert quality is not None
    return quality.ours.captured_mass_ratio


def test_a_rotary_model_gets_position_columns(tmp_path: Path, root: Path) -> None:
    shipped = root / "traces" / "smollm2-l512.safetensors"
    fresh = capture(tmp_path / "fresh.safetensors", shipped, 4, rotary_base=100000)
    base = known_rotary_base(open_trace(fresh))
    assert base == 1e5
    fit_trace(fresh, tmp_path / "plain.safetensors", [QUARTER])
    fit_trace(fresh, tmp_path / "turning.safetensors", [QUARTER], rotary_base=base)
    fitted, of_shipped = (
        open_trace(path).layer(4).predictor(QUARTER) for path in (fresh.with_stem("turning"), shipped)
    )
    assert fitted is not None
    assert of_shipped is not None
    assert fitted.position_columns == of_shipped.position_columns == 34
    assert captured_mass(tmp_path / "turning.safetensors") > captured_mass(tmp_path / "plain.safetensors") + 0.02


def test_decode_and_cross_attention_are_fitted(tmp_path: Path) -> None:
    wanted = Synthetic("top_k", Decimal("0.2"), 5, 60, num_heads=4, num_kv_heads=2, d_head=16, causal=True)
    write_synthetic(tmp_path / "t.safetensors", wanted, with_qkv=True)
    fit_trace(tmp_path / "t.safetensors", tmp_path / "f.safetensors", [QUARTER], rotary_base=1e4)
    layer = open_trace(tmp_path / "f.safetensors").layer(0)
    assert load_predictor(load_arch("dsa-decoupled"), layer).select(3).keep.row_counts.tolist() == [6, 6, 6, 6, 6]


def test_a_batch_gets_one_predictor_a_layer(tmp_path: Path) -> None:
    """Weights and scales are of all sequences and stored once; columns are as long as each, of the same frequencies."""
    wanted = Synthetic("top_k", Decimal("0.2"), 60, 60, num_heads=4, num_kv_heads=2, d_head=16, num_sequences=2)
    write_synthetic(tmp_path / "t.safetensors", wanted, with_qkv=True)
    shorten(tmp_path / "t.safetensors", tmp_path / "s.safetensors", keys=30, rows=20)
    fit_trace(tmp_path / "s.safetensors", tmp_path / "f.safetensors", [QUARTER], rotary_base=1e4)
    trace = open_trace(tmp_path / "f.safetensors")
    long, short = (layer.predictor(QUARTER) for layer in trace.batch(0))
    assert long is not None
    assert short is not None
    assert np.array_equal(long.w_q, short.w_q)
    assert all(np.array_equal(long.scales[4][name], short.scales[4][name]) for name in long.scales[4])
    assert (len(long.extra_k), len(short.extra_k), len(short.extra_q)) == (60, 30, 20)
    assert np.array_equal(short.extra_k, long.extra_k[:30])
    assert np.array_equal(short.extra_q, long.extra_q[10:30])
    stored = [name for name in MappedTensors(tmp_path / "f.safetensors") if ".sigma." in name and "w_q" in name]
    assert [name for name in stored if ".scale." not in name] == ["layer.0.sigma.0.25.w_q"]
    expected = fit_batch(
        [sequence_of(layer) for layer in trace.batch(0)],
        [layer.positions for layer in trace.batch(0)],
        QUARTER,
        fitted_on="self",
        rotary_base=1e4,
    )
    assert np.array_equal(expected[1].w_k, short.w_k)
    assert all(load_predictor(load_arch("dsa-decoupled"), layer).select(3).keep.nnz for layer in trace)


def sequence_of(layer: LayerTrace) -> FitSequence:
    q, k = (np.stack([side(head) for head in range(n)]) for side, n in ((layer.q, 4), (layer.k, 2)))
    return FitSequence(layer.x_q(), q, k, None if layer.self_attention else layer.x_kv())


def shorten(source: Path, out: Path, keys: int, rows: int) -> None:
    """Sequence 1 cut to its first `keys` keys and the last `rows` query rows of them."""
    stored = MappedTensors(source)
    metadata = json.loads(stored.metadata["dsasim"])
    del metadata["sha256"]
    entry = next(entry for entry in metadata["layers"] if entry.get("sequence"))
    entry |= {"L_q": rows, "L_k": keys}
    tensors = {name: stored.raw(name) for name in stored if not name.endswith(".keep")}
    prefix = "sequence.1.layer.0."
    tensors[f"{prefix}x_kv"] = tensors[f"{prefix}x_q"][:keys]
    tensors[f"{prefix}x_q"] = tensors[f"{prefix}x_q"][keys - rows : keys]
    tensors[f"{prefix}q"] = tensors[f"{prefix}q"][:, keys - rows : keys]
    for name in ("k", "v"):
        tensors[prefix + name] = tensors[prefix + name][:, :keys]
    streamed = {name: StreamedTensor.of(np.ascontiguousarray(array)) for name, array in tensors.items()}
    write_stream(out, streamed, metadata)


def test_no_array_of_all_positions_is_made(tmp_path: Path) -> None:
    """3,000 x 3,000 positions are 36 MB as float32; every third of 3,000 rows is fitted to."""
    wanted = Synthetic("top_k", Decimal("0.1"), 3000, 3000, num_heads=2, num_kv_heads=1, d_head=8)
    write_synthetic(tmp_path / "t.safetensors", wanted, with_qkv=True)
    tracemalloc.start()
    fit_trace(tmp_path / "t.safetensors", tmp_path / "f.safetensors", [QUARTER])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16e6


def test_what_cannot_be_fitted_leaves_nothing(
    minilm: Path, tmp_path: Path, root: Path, write_masks: Callable[[], Path]
) -> None:
    out = tmp_path / "out.safetensors"
    with pytest.raises(TraceError, match="holds keep masks only: there are no scores to fit"):
        fit_trace(write_masks(), out, [QUARTER])
    shipped = root / "traces"
    with pytest.raises(TraceError, match=r"layer 0 has a predictor for sigma 0\.25, fitted on 80 other excerpts"):
        fit_trace(shipped / "minilm-l128.safetensors", out, [QUARTER])
    with pytest.raises(TraceError, match="have position columns; name the model's rotary base"):
        fit_trace(shipped / "smollm2-l512.safetensors", out, [Decimal("0.3")])
    assert not out.exists()


@pytest.fixture
def write_masks(tmp_path: Path) -> Callable[[], Path]:
    """A trace of masks alone."""

    def write() -> Path:
        write_synthetic(tmp_path / "m.safetensors", Synthetic("window", Decimal("0.5"), 8, 8))
        return tmp_path / "m.safetensors"

    return write


def test_a_rotary_base_that_is_none(tmp_path: Path, root: Path) -> None:
    shipped = root / "traces" / "minilm-l128.safetensors"
    fresh = capture(tmp_path / "fresh.safetensors", shipped, 0, rotary_base="big")
    with pytest.raises(TraceError, match=r"provenance\.rotary_base is 'big'; expected a number above 1"):
        known_rotary_base(open_trace(fresh))
