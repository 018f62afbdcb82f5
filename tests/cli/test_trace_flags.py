"""Every flag that makes a trace, or replays one, is seen in what comes of it."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from dsasim.trace.attention import AttentionTrace
from dsasim.trace.packing import unpack_bits
from dsasim.trace.store import open_trace

Make = Callable[..., AttentionTrace]
SMALL = ("--length", "64", "--heads", "2", "--d-head", "8", "--density", "0.25")


@pytest.fixture
def make(dsasim: Callable, tmp_path: Path) -> Make:
    """The trace that `dsasim trace ARGUMENTS… --out FILE` writes."""

    def made(*arguments: str) -> AttentionTrace:
        out = tmp_path / "made.safetensors"
        done = dsasim("trace", *arguments, "--out", str(out))
        assert done.status == 0, done.err
        return open_trace(out)

    return made


def masks(trace: AttentionTrace) -> np.ndarray:
    """Bool [layers, heads, L_q, L_k]."""
    return np.array(
        [[unpack_bits(layer.given_bits(head), layer.L_k) for head in range(layer.num_heads)] for layer in trace]
    )


def test_sizes_of_synthetic_masks(make: Make) -> None:
    sizes = ("--queries", "8", "--layers", "3", "--heads", "4", "--kv-heads", "2", "--d-head", "16")
    trace = make("synth", "--pattern", "random", *SMALL, *sizes)
    layer = trace.layer(2)
    assert trace.layer_numbers == (0, 1, 2)
    assert (layer.L_q, layer.L_k, layer.num_heads, layer.num_kv_heads, layer.d_head) == (8, 64, 4, 2, 16)
    assert masks(trace).sum(axis=3).tolist() == np.full((3, 4, 8), 16).tolist()


@pytest.mark.parametrize("pattern", ["random", "block", "global_random", "top_k"])
def test_the_seed_draws_other_masks(pattern: str, make: Make) -> None:
    flags, seeds = ("--block", "8", "--global-keys", "4"), ((), ("--seed", "1"), ("--seed", "0"))
    plain, other, again = (masks(make("synth", "--pattern", pattern, *SMALL, *flags, *seed)) for seed in seeds)
    assert not np.array_equal(plain, other)
    assert np.array_equal(plain, again)


@pytest.mark.parametrize("side", [8, 16])
def test_blocks_have_the_side_asked_for(side: int, make: Make) -> None:
    """Whole blocks are kept or none of it; half a block more would not be."""
    keep = masks(make("synth", "--pattern", "block", *SMALL, "--block", str(side)))[0, 0]
    kept = keep.reshape(64 // side, side, 64 // side, side).sum(axis=(1, 3))
    assert set(np.unique(kept)) == {0, side**2}
    halves = keep.reshape(64 // side, side, 64 // side, side)[:, 0].any(axis=2)
    assert halves.sum() == 64 // side * 64 // side // 4


@pytest.mark.parametrize("count", [3, 9])
def test_as_many_keys_are_global_as_asked_for(count: int, make: Make) -> None:
    keep = masks(make("synth", "--pattern", "global_random", *SMALL, "--global-keys", str(count)))
    assert keep[..., :count].all()
    assert not keep[..., count:].all(axis=2).any()


def test_a_causal_mask_keeps_nothing_after_the_query(make: Make) -> None:
    free, causal = (make("synth", "--pattern", "random", *SMALL, *flag) for flag in ((), ("--causal",)))
    assert (free.layer(0).causal, causal.layer(0).causal) == (False, True)


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    """A layer of four heads that keeps (or prunes) a quarter: two keys of eight."""
    kept = np.zeros((1, 4, 8, 8), bool)
    kept[..., 3] = kept[..., 5] = True
    path = tmp_path / "m.npy"
    np.save(path, kept)
    return path


def test_what_true_means_in_a_mask_is_said_by_a_flag(make: Make, npy: Path) -> None:
    kept = make("import-mask", str(npy), "--d-head", "8")
    pruned = make("import-mask", str(npy), "--d-head", "8", "--pruned-is-true")
    assert np.array_equal(masks(kept), np.load(npy))
    assert np.array_equal(masks(pruned), ~np.load(npy))
    assert [trace.meta.provenance["pruned_is_true"] for trace in (kept, pruned)] == [False, True]


def test_sizes_of_an_imported_mask(make: Make, npy: Path) -> None:
    np.save(npy, np.tril(np.load(npy)))
    plain = make("import-mask", str(npy), "--d-head", "8").layer(0)
    layer = make("import-mask", str(npy), "--d-head", "16", "--kv-heads", "2", "--causal").layer(0)
    assert (plain.num_kv_heads, plain.d_head, plain.causal) == (4, 8, False)
    assert (layer.num_kv_heads, layer.d_head, layer.causal) == (2, 16, True)


def test_the_sample_of_a_batch(make: Make, npy: Path) -> None:
    one = np.load(npy)
    np.save(npy, np.stack([one, np.roll(one, 1, axis=-1), np.roll(one, 2, axis=-1)]))
    for sample in range(3):
        found = masks(make("import-mask", str(npy), "--d-head", "8", "--sample", str(sample)))
        assert np.array_equal(found, np.roll(one, sample, axis=-1))


def test_rank_and_seed_of_a_predictor(make: Make, dsasim: Callable, tmp_path: Path) -> None:
    source = str(tmp_path / "scores.safetensors")
    assert dsasim("trace", "synth", "--pattern", "top_k", "--qkv", *SMALL, "--out", source).status == 0
    flags = ((), ("--seed", "1"), ("--rank", "1"), ("--seed", "0"))
    plain, seeded, narrow, again = (
        make("fit-predictor", source, "--sigma", "0.5", *flag).layer(0).predictor(Decimal("0.5")) for flag in flags
    )
    assert (plain.rank, seeded.rank, narrow.rank) == (4, 4, 1)  # k = 8 of 16 columns, over two heads
    assert not np.array_equal(plain.projection, seeded.projection)
    assert np.array_equal(plain.projection, narrow.projection)
    assert np.array_equal(plain.w_q, again.w_q)


def test_requests_offered_a_cycle(dsasim: Callable, tmp_path: Path) -> None:
    """256 reads on 8 channels: 8 a cycle wait for the buses, 37 + 31 x 6 cycles; of one a cycle the last comes at 255.

    From then on its column, CL + BL = 16 + 4 cycles.
    """
    path = tmp_path / "t.csv"
    path.write_text("".join(f"R,{64 * at},0\n" for at in range(256)))
    plain = ("dram", str(path), "--preset", "DDR4_2400", "--mapping", "row-bank-bankgroup-rank-column", "--no-refresh")

    def drained(*options: str) -> int:
        done = dsasim(*plain, "--channels", "8", *options, "--json", "-")
        return json.loads(done.out)["cycles_drained"]

    assert drained() == drained("--inject", "8") == 37 + 31 * 6
    assert drained("--inject", "1") >= 255 + 20
