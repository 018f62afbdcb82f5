"""Pooled blocks: masks against a few lines of NumPy, and a tiny case by hand."""

from collections.abc import Callable
from math import ceil

import numpy as np
import pytest
from plugin_files import watched, yaml_of

from dsasim.config.loader import load_arch
from dsasim.errors import ConfigError
from dsasim.prediction import load_predictor
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

TINY = (
    "predictor.block=2",
    "predictor.array_rows=4",
    "predictor.array_columns=4",
    "mask_generator.density=0.5",
    "mask_generator.num_selectors=1",
    "scheduler.token_parallelism=2",
    "scheduler.tile_rows=4",
    "pe_array.lanes=2",
)


@pytest.fixture(autouse=True)
def known(by_file: Callable[..., None]) -> None:
    by_file("pooled_blocks")


def averages(x: np.ndarray, block: int, bits: int) -> np.ndarray:
    top = 2 ** (bits - 1) - 1
    codes = np.clip(np.rint(x.astype(float) / (float(np.abs(x).max()) / top)), -top, top)
    return np.stack([np.rint(codes[at : at + block].mean(axis=0)) for at in range(0, len(x), block)])


def blocks_kept(scores: np.ndarray, allowed: np.ndarray, block: int, density: float) -> np.ndarray:
    """The best column blocks of each row block, of those with any allowed position."""
    keep = np.zeros_like(allowed)
    for row in range(0, len(allowed), block):
        rows = slice(row, row + block)
        seen = [at for at in range(scores.shape[1]) if allowed[rows, at * block : (at + 1) * block].any()]
        best = sorted(seen, key=lambda at: (-scores[row // block, at], at))[: ceil(density * len(seen) - 1e-9)]
        for at in best:
            keep[rows, at * block : (at + 1) * block] = True
    return keep & allowed


@pytest.mark.parametrize(("name", "head"), [("minilm-l128", 3), ("smollm2-l512", 4)])
@pytest.mark.parametrize("block", [16, 24])
def test_masks_are_the_best_blocks(name: str, head: int, block: int) -> None:
    layer = next(iter(open_trace(find_trace(name))))
    arch = load_arch(yaml_of("pooled_blocks"), [f"predictor.block={block}"])
    q, k = layer.q(head), layer.k(layer.kv_head(head))
    scores = averages(q, block, 4) @ averages(k, block, 4).T
    found = load_predictor(arch, layer).select(head).keep.to_dense()
    assert np.array_equal(found, blocks_kept(scores, layer.allowed(), block, 0.25))


def test_the_selector_takes_the_largest_score_of_a_block_of_any_method() -> None:
    """dsa2021 scores positions: each is compared once more, to find the largest of its block."""
    layer = open_trace(find_trace("minilm-l128")).layer(0)
    blocks = ["mask_generator.selection=top_blocks", "mask_generator.block_rows=8", "mask_generator.block_keys=8"]
    predictor = load_predictor(load_arch("dsa-decoupled", [*blocks, "mask_generator.density=0.25"]), layer)
    scores = predictor.method.scorer(0)(next(layer.row_blocks()))
    starts = np.arange(0, 128, 8)
    best = np.maximum.reduceat(np.maximum.reduceat(scores, starts, axis=0), starts, axis=1)
    selection = predictor.select(0)
    assert np.array_equal(selection.keep.to_dense(), blocks_kept(best, layer.allowed(), 8, 0.25))
    assert (selection.comparisons[::8] >= 8 * 128 + 16).all()
    assert not selection.comparisons[1::8].any()


def test_one_tile_by_hand(small: Callable[..., AttentionTrace]) -> None:
    """Blocks of 2 of 8 tokens by 4 numbers, 4 x 4 PEs, tiles of 4 rows.

    Pooled K: 4 blocks x 2 x 4 = 32 additions on 16 PEs, 2 cycles. A tile: 16 additions, 1 cycle, and 2 x 4 by 4 x 4:
    one fold of 4 and 2 * 4 + 4 - 2 to fill and leave, 14. Selection: all 4 blocks are equal, one pass of 1 + 3 cycles a
    block of rows, two of them one after the other. Codes: 8 keys of 4 x 4 bits, then 4 queries a tile.
    """
    jobs, result = watched(load_arch(yaml_of("pooled_blocks"), TINY), small())
    assert jobs.cycles["predictor"] == [2, 15, 15, 15, 15]
    assert [job.does for job in jobs.done["predictor"]] == ["pooled K", *["pooled S"] * 4]
    assert jobs.cycles["mask_generator"] == [8] * 4
    assert jobs.moved["dma_predictor"] == [16, 8, 8, 8, 8]
    counters = result.counters
    assert counters["adds_predictor"] == 32 + 4 * 16
    assert counters["macs_predictor"] == 4 * 2 * 4 * 4
    assert counters["mask_comparisons"] == 4 * 2 * 4
    score_bytes = 2  # 2 * 4 + 2 bits
    writes = 16 + 4 * 8 + 8 + 4 * 4 + 4 * 8 * score_bytes  # codes, pooled codes, scores
    assert counters["predictor_buffer_write_bytes"] == writes
    reads = 16 + 4 * 8 + 4 * (4 + 8) + 4 * 8 * score_bytes  # additions, operands of the product, scores
    assert counters["predictor_buffer_read_bytes"] == reads


def test_tiles_have_whole_blocks(small: Callable[..., AttentionTrace]) -> None:
    with pytest.raises(ConfigError, match=r"^scheduler\.tile_rows 4 is not a multiple of 6: 3 rows are predicted"):
        watched(load_arch(yaml_of("pooled_blocks"), [*TINY, "predictor.block=3"]), small())


def test_several_heads_side_by_side_cost_what_they_cost_alone(small: Callable[..., AttentionTrace]) -> None:
    alone, side = (
        watched(load_arch(yaml_of("pooled_blocks"), [*TINY, *more]), small(seed=1))[1].counters
        for more in ((), ("pe_array.lane_split=heads",))
    )
    for name in ("adds_predictor", "macs_predictor", "mask_comparisons"):
        assert side[name] == alone[name]
    # tiles of 2 rows a head in place of 4: pooled K, 4 x 4 codes, is read for twice as many
    assert side["predictor_buffer_read_bytes"] - alone["predictor_buffer_read_bytes"] == 4 * 8
