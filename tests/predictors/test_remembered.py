"""A cache that many designs share changes nothing: each gets what it would get alone."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.masks import KeepMask, Selection
from dsasim.prediction import load_predictor
from dsasim.trace.attention import LayerTrace
from dsasim.trace.cache import MemoryCache

BASE = ("predictor.sigma=0.5", "mask_generator.density=0.25")
THRESHOLD = ("mask_generator.selection=threshold", "mask_generator.threshold=0.1")
DESIGNS = [
    (),
    ("predictor.rank=2",),
    ("predictor.bits=2",),
    ("predictor.bits=8",),
    ("mask_generator.comparators=2",),
    ("mask_generator.density=0.5",),
    ("mask_generator.top_k_unit=bitonic", "mask_generator.comparators=4"),
    ("predictor.array_rows=7", "mask_generator.num_selectors=3"),
    THRESHOLD,
    (*THRESHOLD, "mask_generator.threshold=0.3"),
    ("predictor.method=oracle_topk",),
    (*THRESHOLD, "predictor.method=oracle_threshold"),
    ("predictor.method=dense",),
]


def figures(selection: Selection, layer: LayerTrace) -> tuple[object, ...]:
    """All of a selection, as plain values."""
    keep = selection.keep.block(0, layer.L_q).to_dense().tolist()
    return keep, *(rows.tolist() for rows in selection[1:])


def test_each_design_and_head_gets_its_own(
    make_arch: Callable[..., ArchConfig], make_layer: Callable[..., LayerTrace]
) -> None:
    layer = make_layer()
    shared = replace(layer, cache=MemoryCache(1 << 22))
    for _ in range(2):  # the second time all of it is remembered
        for overrides, head in product(DESIGNS, (0, 3)):
            arch = make_arch(*BASE, *overrides)
            alone, remembered = load_predictor(arch, layer), load_predictor(arch, shared)
            assert remembered.work == alone.work, overrides
            assert figures(remembered.select(head), layer) == figures(alone.select(head), layer), (overrides, head)


@pytest.mark.parametrize(
    "other",
    [
        KeepMask(np.array([0, 1, 3]), np.array([0, 1, 2], np.int32), 4),
        KeepMask(np.array([0, 2, 3]), np.array([0, 1, 3], np.int32), 4),
        KeepMask(np.array([0, 2, 3]), np.array([0, 1, 2], np.int32), 5),
    ],
    ids=["rows", "keys", "number of keys"],
)
def test_masks_that_differ_have_other_digests(other: KeepMask) -> None:
    mask = KeepMask(np.array([0, 2, 3]), np.array([0, 1, 2], np.int32), 4)
    assert mask.digest == KeepMask(mask.indptr.copy(), mask.indices.copy(), 4).digest != other.digest
