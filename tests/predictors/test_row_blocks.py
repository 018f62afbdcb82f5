"""Masks, cycles and comparisons do not depend on how many rows are scored and selected together."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.predictors import Selection, load_predictor
from dsasim.trace import positions
from dsasim.trace.attention import LayerTrace

METHODS = {
    "dsa2021": (),
    "dsa2021 by threshold": ("mask_generator.selection=threshold", "mask_generator.threshold=0.1"),
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
