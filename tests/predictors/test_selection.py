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
from dsasim.predictors.base import KeepMask
from dsasim.predictors.selection import ceil_share, generator_of, kept_counts, select_above, select_top_k


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
    allowed = np.arange(max(40, n))[None, :] < n
    assert kept_counts(allowed, Decimal(density)).tolist() == [kept]


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


def test_a_fully_masked_row_keeps_nothing(make_arch: Callable[..., ArchConfig]) -> None:
    allowed = np.array([[True, True, False], [False, False, False], [True, True, True]])
    selection = select_top_k(np.zeros((3, 3), np.int32), allowed, generator_of(make_arch()))
    assert selection.keep.to_dense().astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert selection.row_cycles.tolist() == [4, 0, 4]


def test_a_missing_density_or_threshold_is_named(make_arch: Callable[..., ArchConfig]) -> None:
    scores, allowed = np.zeros((1, 1), np.int32), np.ones((1, 1), np.bool_)
    top_k = generator_of(make_arch())
    with pytest.raises(ConfigError, match=r"^mask_generator\.threshold: needed"):
        select_above(scores, allowed, 1.0, top_k)
    by_threshold = top_k.model_copy(update={"selection": "threshold", "density": None, "threshold": 0.0})
    with pytest.raises(ConfigError, match=r"^mask_generator\.density: needed"):
        select_top_k(scores, allowed, by_threshold)


def test_a_design_without_a_mask_generator_cannot_select(make_arch: Callable[..., ArchConfig]) -> None:
    arch = make_arch().model_copy(update={"mask_generator": None})
    with pytest.raises(ConfigError, match=r"mask_generator: needed by predictor\.method=dsa2021"):
        generator_of(arch)
