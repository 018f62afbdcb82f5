"""Tables fit the terminal: numbers stay whole, words wrap between words, nothing is cut."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.report.style import new_console, new_grid, new_table
from dsasim.report.table import fitted

HEADS = ("GPU", "kernel", "time", "launches", "speed-up", "for its peak", "for its GB/s", "from")
ROW = ("Jetson Orin", "unfused", "24.56 µs", "61.04 %", "0.0572x", "1,342x", "0.0672x", "other shape")


def printed(columns: str | None, monkeypatch: pytest.MonkeyPatch, *rows: tuple[str, ...]) -> list[str]:
    """The lines of a table in a pipe."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    table = new_table(*HEADS)
    for row in rows:
        table.add_row(*row)
    stream = io.StringIO()
    new_console(stream).print(table)
    return stream.getvalue().rstrip("\n").split("\n")


WIDTHS = {None: 100, "": 100, "0": 100, "80": 80, "72": 72, "200": 100, "7": 40, "-1": 100, "8x": 100}
"""COLUMNS, and how wide a pipe is then."""


@pytest.mark.parametrize(("columns", "width"), WIDTHS.items())
def test_a_pipe_is_as_wide_as_columns_says_and_at_most_100(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert new_console(io.StringIO()).width == width


def test_numbers_are_whole_at_80_columns_and_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed("80", monkeypatch, ROW)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for cell in (*ROW[1:], "launches", "speed-up"):
        assert cell in text  # unbroken
    assert "…" not in text
    assert [line.split()[0] for line in lines if line.split()][-2:] == ["Jetson", "Orin"]


def test_a_table_that_fits_has_wide_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = (line for line in printed("100", monkeypatch, ("V100", *ROW[1:])) if "V100" in line)
    assert " V100   unfused   24.56 µs   " in row


def test_what_cannot_fit_is_folded_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed("40", monkeypatch, tuple(digit * 12 for digit in "12345678"))
    assert max(map(len, lines)) <= 40
    text = "".join(lines)
    assert all(text.count(digit) == 12 for digit in "12345678")


def test_a_grid_cuts_no_digest() -> None:
    grid, stream = new_grid(), io.StringIO()
    grid.add_row("sha256", "d" * 190)
    new_console(stream).print(grid)
    assert stream.getvalue().count("d") == 190


def test_the_widest_columns_shrink_first() -> None:
    assert fitted([3, 8], [20, 12], 32) == [20, 12]
    assert fitted([3, 8], [20, 12], 24) == [12, 12]
    assert fitted([3, 8], [20, 12], 14) == [6, 8]
    assert fitted([3, 8], [20, 12], 8) == [4, 4]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 60)), min_size=1, max_size=9), st.integers(1, 200))
def test_columns_have_room_for_what_cannot_break_where_there_is_room(sizes: list[tuple[int, int]], room: int) -> None:
    narrowest, widest = [low for low, _ in sizes], [low + more for low, more in sizes]
    widths = fitted(narrowest, widest, room)
    assert all(1 <= width <= high for width, high in zip(widths, widest, strict=True))
    if room >= len(sizes):
        assert sum(widths) <= room
    if room >= sum(narrowest):
        assert all(width >= low for width, low in zip(widths, narrowest, strict=True))
