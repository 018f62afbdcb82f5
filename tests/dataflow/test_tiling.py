"""How many rows fit: one byte more or less, whole groups only, and the smallest buffer decides."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.dataflow.tiling import Footprint, fit_tile_rows, resident_slots
from dsasim.errors import ConfigError

MakeArch = Callable[..., ArchConfig]
T4 = ("scheduler.token_parallelism=4", "scheduler.tile_rows=16")


@pytest.mark.parametrize(("size", "rows"), [(100 + 40, 4), (100 + 79, 4), (100 + 80, 8), (100 + 160, 16), (10000, 16)])
def test_whole_groups_that_fit_beside_what_stays(make_arch: MakeArch, size: int, rows: int) -> None:
    """100 bytes stay, a row takes 10, a group 40."""
    arch = make_arch(*T4, f"buffers.q.bytes={size}")
    assert fit_tile_rows(arch, [Footprint("q", "queries", 10, 100)]) == rows


@pytest.mark.parametrize("size", [139, 100, 1])
def test_too_small_for_a_group_names_key_and_need(make_arch: MakeArch, size: int) -> None:
    message = rf"^buffers\.q\.bytes is {size}, but this trace needs at least 140: queries for one group of 4 rows$"
    with pytest.raises(ConfigError, match=message):
        fit_tile_rows(make_arch(*T4, f"buffers.q.bytes={size}"), [Footprint("q", "queries", 10, 100)])


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 400), row_bytes=st.integers(1, 40), resident=st.integers(0, 100))
def test_one_group_more_would_not_fit(size: int, row_bytes: int, resident: int) -> None:
    arch = load_arch("dsa-decoupled", (*T4, f"buffers.q.bytes={size}"))
    footprint = Footprint("q", "queries", row_bytes, resident)
    if resident + 4 * row_bytes > size:
        with pytest.raises(ConfigError):
            fit_tile_rows(arch, [footprint])
    else:
        rows = fit_tile_rows(arch, [footprint])
        assert rows % 4 == 0
        assert resident + rows * row_bytes <= size
        assert rows == 16 or resident + (rows + 4) * row_bytes > size


def test_the_smallest_buffer_decides(make_arch: MakeArch) -> None:
    arch = make_arch(*T4, "buffers.q.bytes=1000", "buffers.score.bytes=80")
    assert fit_tile_rows(arch, [Footprint("q", "queries", 10), Footprint("score", "scores", 10)]) == 8


@pytest.mark.parametrize(("size", "slots"), [(64, 1), (127, 1), (128, 2), (1000, 2)])
def test_heads_resident_are_those_that_fit_up_to_the_slots(make_arch: MakeArch, size: int, slots: int) -> None:
    assert resident_slots(make_arch(f"buffers.k.bytes={size}"), "k", 64, 8) == slots


def test_a_head_that_does_not_fit_is_refused(make_arch: MakeArch) -> None:
    with pytest.raises(ConfigError, match=r"^buffers\.v\.bytes is 63, but V of one kv head \(8 keys\) takes 64"):
        resident_slots(make_arch("buffers.v.bytes=63"), "v", 64, 8)
