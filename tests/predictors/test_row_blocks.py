"""Masks, cycles and comparisons do not depend on how many rows are scored and selected together."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.masks import Selection
from dsasim.prediction import load_predictor
from dsasim.selectors.merge_unit import merge_work
from dsasim.trace import positions
from dsasim.trace.attention import LayerTrace

METHODS = {
    "dsa2021": (),
    "dsa2021 by threshold": ("mask_generator.selection=threshold", "mask_generator.threshold=0.1"),
    "dsa2021 by merging": ("mask_generator.top_k_unit=bitonic", "mask_generator.comparators=4"),
    "oracle_topk": (),
    "oracle_threshold": ("mask_generator.selection=threshold", "mask_generator.threshold=0.1"),
    "given": (),
    "dense": (),
}


def padded_layer(make_layer: Callable[..., LayerTrace]) -> LayerTrace:
    """24 causal rows; the first two keys are padding, so the first two rows see nothing, and a mask is given."""
    allowed = np.ones((24, 24), np.bool_)
    allowed[:, :2] = False
    keep = np.tri(24, dtype=np.bool_) & allowed & (np.random.default_rng(2).random((4, 24, 24)) < 0.4)
    return make_layer(allowed=allowed, keep=keep)


def selections(arch: ArchConfig, layer: LayerTrace) -> list[Selection]:
    predictor = load_predictor(arch, layer)
    return [predictor.select(head) for head in range(layer.num_heads)]


@pytest.mark.parametrize("name", METHODS)
def test_blocks_do_not_matter(
    name: str,
    make_arch: Callable[..., ArchConfig],
    make_layer: Callable[..., LayerTrace],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arch = make_arch(f"predictor.method={name.split(maxsplit=1)[0]}", "predictor.sigma=0.5", *METHODS[name])
    whole = selections(arch, padded_layer(make_layer))
    assert sum(selection.keep.nnz for selection in whole) > 50
    for rows in (1, 5, 23):
        monkeypatch.setattr(positions, "BLOCK_POSITIONS", rows * 24)
        for cut, one in zip(selections(arch, padded_layer(make_layer)), whole, strict=True):
            assert np.array_equal(cut.keep.block(0, 24).indptr, one.keep.block(0, 24).indptr)
            assert np.array_equal(cut.keep.block(0, 24).indices, one.keep.block(0, 24).indices)
            assert np.array_equal(cut.row_cycles, one.row_cycles)
            assert np.array_equal(cut.comparisons, one.comparisons)
            assert cut.keep.num_keys == 24
            assert np.array_equal(cut.entries_read, one.entries_read)
            assert np.array_equal(cut.entries_written, one.entries_written)


def test_a_head_s_work_is_that_of_all_its_rows(
    make_arch: Callable[..., ArchConfig], make_layer: Callable[..., LayerTrace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the merge unit reads and writes for all rows, which are selected seven at a time."""
    monkeypatch.setattr(positions, "BLOCK_POSITIONS", 7 * 24)
    layer = padded_layer(make_layer)
    arch = make_arch("predictor.sigma=0.5", *METHODS["dsa2021 by merging"])
    selection = load_predictor(arch, layer).select(1)
    work = merge_work(layer.allowed_counts, selection.keep.row_counts, 4)
    assert not np.array_equal(selection.entries_read, selection.entries_written)
    for name, found, values in zip(selection._fields[1:], selection[1:], work, strict=True):
        assert np.array_equal(found, values), name
