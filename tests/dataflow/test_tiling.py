"""How many rows fit: one byte more or less, whole groups only, and the smallest buffer decides."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.tiling import Footprint, Residency, SpilledSlot, fit_tile_rows, residency
from dsasim.errors import ConfigError

MakeArch = Callable[..., ArchConfig]
T4 = ("scheduler.token_parallelism=4", "scheduler.tile_rows=16", "pe_array.lanes=1")


@pytest.mark.parametrize(("size", "rows"), [(100 + 40, 4), (100 + 79, 4), (100 + 80, 8), (100 + 160, 16), (10000, 16)])
def test_whole_groups_that_fit_beside_what_stays(make_arch: MakeArch, size: int, rows: int) -> None:
    """100 bytes stay, a row takes 10, a group 40."""
    arch = make_arch(*T4, f"buffers.q.bytes={size}")
    assert fit_tile_rows(arch, [Footprint("q", "queries", 1, 10, resident_bytes=100)]).rows == rows


@pytest.mark.parametrize("size", [139, 100, 1])
def test_too_small_for_a_group_names_key_and_need(make_arch: MakeArch, size: int) -> None:
    message = rf"^buffers\.q\.bytes is {size}, but this trace needs at least 140: queries for 4 rows$"
    with pytest.raises(ConfigError, match=message):
        fit_tile_rows(make_arch(*T4, f"buffers.q.bytes={size}"), [Footprint("q", "queries", 1, 10, resident_bytes=100)])


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 400), row_bytes=st.integers(1, 40), resident=st.integers(0, 100))
def test_one_group_more_would_not_fit(size: int, row_bytes: int, resident: int) -> None:
    arch = load_arch("dsa-decoupled", (*T4, f"buffers.q.bytes={size}"))
    footprint = Footprint("q", "queries", 1, row_bytes, resident_bytes=resident)
    if resident + 4 * row_bytes > size:
        with pytest.raises(ConfigError):
            fit_tile_rows(arch, [footprint])
    else:
        rows = fit_tile_rows(arch, [footprint]).rows
        assert rows % 4 == 0
        assert resident + rows * row_bytes <= size
        assert rows == 16 or resident + (rows + 4) * row_bytes > size


@pytest.mark.parametrize(
    ("size", "rows", "spilled"),
    [
        (32, 4, {}),
        (31, 4, {"score": SpilledSlot(15, 1)}),
        (2, 4, {"score": SpilledSlot(1, 15)}),
        (1, 4, {"score": SpilledSlot(0, 16)}),
    ],
)
def test_scores_beyond_a_slot_are_spilled(make_arch: MakeArch, size: int, rows: int, spilled: dict) -> None:
    """Two slots; a row of scores takes 4 bytes, a group 16 (the worked example: room for 3 rows spills the fourth)."""
    arch = make_arch(*T4, f"buffers.score.bytes={size}")
    tiling = fit_tile_rows(arch, [Footprint("score", "scores", 2, 0, 4)])
    assert (tiling.rows, tiling.spilled) == (rows, spilled)
    assert fit_tile_rows(make_arch(*T4, "buffers.score.bytes=24"), [Footprint("score", "scores", 2, 0, 4)]).spilled == {
        "score": SpilledSlot(12, 4)
    }


def test_the_smallest_buffer_decides(make_arch: MakeArch) -> None:
    arch = make_arch(*T4, "buffers.q.bytes=1000", "buffers.score.bytes=80")
    assert fit_tile_rows(arch, [Footprint("q", "queries", 1, 10), Footprint("score", "scores", 1, 0, 10)]).rows == 8


@pytest.mark.parametrize(("size", "slots"), [(64, 1), (127, 1), (128, 2), (1000, 2)])
def test_heads_resident_are_those_that_fit_up_to_the_slots(make_arch: MakeArch, size: int, slots: int) -> None:
    assert residency(make_arch(f"buffers.k.bytes={size}"), "k", 64, 8) == Residency(slots)


@pytest.mark.parametrize(("size", "vectors"), [(63, 7), (64, 8), (32, 4), (39, 4)])
def test_where_no_head_fits_or_pool_is_asked_for_single_vectors_are_kept(
    make_arch: MakeArch, size: int, vectors: int
) -> None:
    """Vectors of 8 bytes, 65 bytes needed together."""
    assert residency(make_arch(*T4, f"buffers.k.bytes={size}"), "k", 65, 8) == Residency(1, vectors, 4)
    asked = make_arch(*T4, f"buffers.k.bytes={size}", "buffers.k.residency=pool")
    assert residency(asked, "k", 8, 8) == Residency(1, vectors, 4)


def test_a_pool_smaller_than_a_step_is_refused(make_arch: MakeArch) -> None:
    with pytest.raises(ConfigError, match=r"^buffers\.v\.bytes is 31, room for 3 vectors of 8 bytes; .* 4 needs 4"):
        residency(make_arch(*T4, "buffers.v.bytes=31"), "v", 64, 8)


@pytest.mark.parametrize(
    ("fits", "rows"), [(11, 8), (12, 12), (15, 12), (16, 16), (31, 16), (32, 32), (63, 48), (64, 64)]
)
def test_tiles_made_smaller_give_every_lane_as_many_groups(make_arch: MakeArch, fits: int, rows: int) -> None:
    """4 lanes of T = 4, 64 rows asked for (the worked example: 61 fits 48, 13 fits 12)."""
    arch = make_arch(
        "pe_array.lanes=4", "scheduler.token_parallelism=4", "scheduler.tile_rows=64", "buffers.q.bytes=64"
    )
    assert fit_tile_rows(arch, [Footprint("q", "queries", 1, 1, resident_bytes=64 - fits)]).rows == rows


def test_lanes_over_heads_want_a_group_of_every_head(make_arch: MakeArch) -> None:
    arch = make_arch("pe_array.lanes=4", "pe_array.lane_split=heads", "buffers.q.bytes=15")
    with pytest.raises(ConfigError, match="at least 16: queries for 16 rows"):
        fit_tile_rows(arch, [Footprint("q", "queries", 1, 1)])
