"""How many keys a row keeps, exactly; masks as CSR."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.masks import KeepMask
from dsasim.selectors.base import generator_of, select_rows
from dsasim.selectors.threshold import Threshold
from dsasim.selectors.top_k import TopK
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.counts import ceil_share, kept_counts
from dsasim.trace.store import trace_in_memory

MakeArch = Callable[..., ArchConfig]
MakeArrays = Callable[..., LayerArrays]


@pytest.mark.parametrize(
    ("density", "n", "kept"),
    [
        ("0.1", 1, 1),
        ("0.1", 9, 1),
        ("0.1", 10, 1),
        ("0.1", 11, 2),
        ("0.1", 20, 2),
        ("0.1", 21, 3),
        ("0.1", 30, 3),
        ("0.07", 100, 7),
        ("0.001", 5, 1),
        ("1", 17, 17),
        ("0.1", 0, 0),
    ],
)
def test_a_row_keeps_the_ceiling_of_its_share(density: str, n: int, kept: int) -> None:
    assert kept_counts(np.array([n, 0, n]), Decimal(density)).tolist() == [kept, 0, kept]


def test_floating_point_would_get_the_edge_wrong() -> None:
    assert math.ceil(0.07 * 100) == 8
    assert ceil_share(Decimal("0.07"), 100) == 7


@given(st.decimals("0.0001", "1", places=6), st.integers(0, 100_000))
def test_ceil_share_is_the_fraction_rounded_up(share: Decimal, whole: int) -> None:
    assert ceil_share(share, whole) == math.ceil(Fraction(share) * whole)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_keep_masks_round_trip(keep: np.ndarray) -> None:
    mask = KeepMask.from_dense(keep)
    assert np.array_equal(mask.to_dense(), keep)
    assert mask.nnz == keep.sum()
    assert mask.row_counts.tolist() == keep.sum(axis=1).tolist()
    assert mask.indptr.dtype == np.int64
    assert mask.indices.dtype == np.int32


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)), st.integers(1, 12))
def test_blocks_of_a_mask_join_to_the_whole(keep: np.ndarray, rows: int) -> None:
    whole = KeepMask.from_dense(keep)
    blocks = [whole.block(at, min(rows, len(keep) - at)) for at in range(0, len(keep), rows)]
    assert [block.to_dense().tolist() for block in blocks] == [
        keep[at : at + rows].tolist() for at in range(0, len(keep), rows)
    ]
    joined = KeepMask.join(blocks, keep.shape[1])
    assert np.array_equal(joined.indptr, whole.indptr)
    assert np.array_equal(joined.indices, whole.indices)


def test_a_fully_masked_row_keeps_nothing(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    allowed = np.array([[True, True, False], [False, False, False], [True, True, True]])
    layer = trace_in_memory("small", [make_arrays(L=3, causal=False, allowed=allowed)]).layer(5)
    selection = select_rows(
        layer, lambda _: np.zeros((3, 3), np.int32), TopK(generator_of(make_arch())).rule(layer, 1.0)
    )
    assert selection.keep.to_dense().astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert selection.row_cycles.tolist() == [4, 0, 4]


def test_a_missing_density_or_threshold_is_named(make_arch: MakeArch, make_arrays: MakeArrays) -> None:
    layer, top_k = trace_in_memory("small", [make_arrays()]).layer(5), generator_of(make_arch())
    with pytest.raises(ConfigError, match=r"^mask_generator\.threshold: needed"):
        Threshold(top_k).rule(layer, 1.0)
    by_threshold = top_k.model_copy(update={"selection": "threshold", "density": None, "threshold": 0.0})
    with pytest.raises(ConfigError, match=r"^mask_generator\.density: needed"):
        TopK(by_threshold).rule(layer, 1.0)


def test_a_design_without_a_mask_generator_cannot_select(make_arch: Callable[..., ArchConfig]) -> None:
    arch = make_arch().model_copy(update={"mask_generator": None})
    with pytest.raises(ConfigError, match=r"mask_generator: needed by predictor\.method=dsa2021"):
        generator_of(arch)
