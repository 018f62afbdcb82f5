"""Synthetic masks: what each pattern keeps, how many, and that the same seed gives the same bytes."""

import itertools
import math
import tracemalloc
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsasim.errors import TraceError
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.packing import unpack_bits
from dsasim.trace.store import open_trace
from dsasim.trace.synthetic import PATTERNS, Synthetic, write_synthetic


def spec(pattern: str, density: str = "0.25", L_q: int = 24, L_k: int = 24, **options: Any) -> Synthetic:
    defaults = {"num_heads": 2, "num_kv_heads": 1, "d_head": 8, "block": 8, "num_global": 3}
    return Synthetic(pattern, Decimal(density), L_q, L_k, **defaults | options)


def made(folder: Path, wanted: Synthetic, *, with_qkv: bool = False) -> AttentionTrace:
    path = folder / "s.safetensors"
    write_synthetic(path, wanted, with_qkv=with_qkv)
    return open_trace(path)


def masks(trace: AttentionTrace) -> np.ndarray:
    """Bool [layers, heads, L_q, L_k]."""
    return np.array(
        [[unpack_bits(layer.given_bits(head), layer.L_k) for head in range(layer.num_heads)] for layer in trace]
    )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_keeps_its_share_of_its_allowed_keys(tmp_path: Path, data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from([p for p in PATTERNS if p != "block"]))
    L_k = data.draw(st.integers(1, 40))
    L_q = data.draw(st.integers(1, L_k))
    hundredths, causal = data.draw(st.integers(1, 100)), data.draw(st.booleans())
    wanted = spec(pattern, str(Decimal(hundredths) / 100), L_q, L_k, causal=causal, num_layers=2)
    trace = made(tmp_path, wanted)
    assert (trace.meta.kind, trace.layer_numbers, trace.masks_only) == ("synthetic", (0, 1), True)
    for layer, head in itertools.product(range(2), range(2)):
        for i, row in enumerate(masks(trace)[layer, head]):
            allowed = i + 1 + L_k - L_q if causal else L_k
            assert row.sum() == max(1, math.ceil(Fraction(hundredths, 100) * allowed))
            assert not row[allowed:].any()


def test_a_window_is_the_worked_example(tmp_path: Path) -> None:
    keep = masks(made(tmp_path, spec("window", "0.375", 8, 8)))[0, 0]
    assert [np.flatnonzero(keep[i]).tolist() for i in (0, 4, 7)] == [[0, 1, 2], [3, 4, 5], [5, 6, 7]]


def test_a_causal_window_is_the_last_keys_and_queries_are_the_last_positions(tmp_path: Path) -> None:
    keep = masks(made(tmp_path, spec("window", "0.25", 4, 12, causal=True)))[0, 0]
    assert [np.flatnonzero(row).tolist() for row in keep] == [[6, 7, 8], [7, 8, 9], [8, 9, 10], [9, 10, 11]]


def test_causal_blocks_are_the_worked_example(tmp_path: Path) -> None:
    keep = masks(made(tmp_path, spec("block", "0.5", 32, 32, causal=True)))[0, 0]
    blocks = keep.reshape(4, 8, 4, 8).transpose(0, 2, 1, 3)
    chosen = blocks.any(axis=(2, 3))
    assert chosen.sum(axis=1).tolist() == [1, 1, 1, 2]
    assert chosen.diagonal().all()
    full, causal = np.ones((8, 8), bool), np.tri(8, dtype=bool)
    for i, j in itertools.product(range(4), range(4)):
        assert np.array_equal(blocks[i, j], (causal if i == j else full) & chosen[i, j])


@pytest.mark.parametrize(("density", "share"), [("0.1", 0.1), ("0.5", 0.5), ("1", 1.0)])
def test_blocks_keep_about_the_density(density: str, share: float, tmp_path: Path) -> None:
    keep = masks(made(tmp_path, spec("block", density, 320, 320)))[0]
    assert keep.mean() == pytest.approx(share, abs=0.002)
    assert not np.array_equal(keep[0], keep[1]) or share == 1


@pytest.mark.parametrize("pattern", ["random", "global_random", "block", "top_k"])
def test_every_head_of_every_layer_is_a_draw_of_its_own(pattern: str, tmp_path: Path) -> None:
    options = {"num_heads": 3, "num_kv_heads": 3, "num_layers": 2, "block": 4, "num_global": 2}
    keep = masks(made(tmp_path, spec(pattern, "0.3", 32, 32, **options)))
    assert len({keep[layer, head].tobytes() for layer in range(2) for head in range(3)}) == 6


def test_global_keys_are_kept_by_every_row_and_the_others_spread(tmp_path: Path) -> None:
    keep = masks(made(tmp_path, spec("global_random", "0.25", 200, 200, num_global=10)))[0, 0]
    assert keep[:, :10].all()
    used = keep[:, 10:].sum(axis=0)
    assert 200 * 40 / 190 - 30 < used.min() <= used.max() < 200 * 40 / 190 + 30
    few = masks(made(tmp_path, spec("global_random", "0.01", 200, 200, num_global=10)))[0, 0]
    assert np.array_equal(np.flatnonzero(few[7]), [0, 1])


def test_neighbouring_rows_share_what_the_pattern_says(tmp_path: Path) -> None:
    """The share of a row's keys that the next row keeps too: the reason why random masks mislead."""
    shared = {}
    for pattern in PATTERNS:
        keep = masks(made(tmp_path, spec(pattern, "0.1", 256, 256, d_head=32)))[0, 0]
        shared[pattern] = (keep[1:] & keep[:-1]).sum() / keep[1:].sum()
    assert shared["random"] == pytest.approx(0.1, abs=0.02)
    assert shared["window"] > 0.95
    assert shared["block"] > 0.85
    assert 0.5 < shared["top_k"] < 0.9


def test_top_k_masks_are_the_highest_scores_of_the_stored_tensors(tmp_path: Path) -> None:
    wanted = spec("top_k", "0.2", 20, 30, causal=True, num_heads=4, num_kv_heads=2, num_layers=2, d_head=16)
    trace, alone = made(tmp_path, wanted, with_qkv=True), None
    assert (trace.meta.kind, trace.masks_only) == ("synthetic", False)
    for layer, head in itertools.product(trace, range(4)):
        scores = layer.q(head).astype(float) @ layer.k(layer.kv_head(head)).T.astype(float)
        for i, row in enumerate(unpack_bits(layer.given_bits(head), 30)):
            n = i + 11
            best = np.sort(np.argsort(-scores[i, :n], kind="stable")[: math.ceil(n / 5)])
            assert np.flatnonzero(row).tolist() == best.tolist()
    with_tensors = masks(trace)
    alone = made(tmp_path, wanted)
    assert np.array_equal(masks(alone), with_tensors)


def test_scores_are_as_peaked_as_the_density_asks(tmp_path: Path) -> None:
    """Of 2000 keys the tenth with the highest scores holds about 95 % of the mass; of the twentieth, s is larger."""
    for density in ("0.1", "0.05"):
        layer = made(tmp_path, spec("top_k", density, 40, 2000, d_head=64), with_qkv=True).layer(0)
        scores = layer.scale * layer.q(0) @ layer.k(0).T
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        kept = unpack_bits(layer.given_bits(0), 2000)
        assert np.mean((weights * kept).sum(axis=1) / weights.sum(axis=1)) == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_seed_gives_the_same_bytes(pattern: str, tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_synthetic(tmp_path / name, spec(pattern, L_q=64, L_k=64, seed=seed), with_qkv=pattern == "top_k")
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_bytes_do_not_depend_on_where_rows_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pattern in PATTERNS:
        whole = made(tmp_path, spec(pattern, causal=True)).meta.sha256
        with monkeypatch.context() as patch:
            patch.setattr("dsasim.trace.masks.BLOCK_POSITIONS", 24 * 5)
            assert made(tmp_path, spec(pattern, causal=True)).meta.sha256 == whole


@pytest.mark.parametrize("pattern", PATTERNS)
def test_memory_is_bounded_by_a_block_of_rows(pattern: str, tmp_path: Path) -> None:
    """4,096 x 4,096 positions, 17 MB as booleans, for each of two heads."""
    write_synthetic(tmp_path / "warm", spec(pattern))
    tracemalloc.start()
    write_synthetic(tmp_path / "long", spec(pattern, "0.1", 4096, 4096, block=64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


BAD = {
    "pattern": ({"pattern": "stripes"}, "no pattern 'stripes'; there are window, block, random"),
    "density": ({"density": "1.5"}, "density 1.5 is not above 0 and at most 1"),
    "size": ({"d_head": 0}, "d_head 0 is below 1"),
    "kv heads": ({"num_heads": 4, "num_kv_heads": 3}, "3 kv heads do not divide 4 heads"),
    "queries": ({"L_q": 25}, "25 queries cannot be the last of 24 positions"),
    "seed": ({"seed": -1}, "seed -1 is negative"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_made(change: dict[str, Any], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        spec(**{"pattern": "window"} | change)


def test_only_scores_have_queries_and_keys(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="window looks at no scores"):
        write_synthetic(tmp_path / "x", spec("window"), with_qkv=True)
    assert list(tmp_path.iterdir()) == []
