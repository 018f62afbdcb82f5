"""`dsasim arch`."""

from collections.abc import Callable
from pathlib import Path

from dsasim.config.loader import load_arch


def test_list_names_each_design(dsasim: Callable) -> None:
    done = dsasim("arch", "list")
    assert done.status == 0
    for words in ("dsa-decoupled", "dsa-edge", "dense-16x16", "256", "64", "2 x DDR4_3200", "1 x DDR4_2400"):
        assert words in done.out
    assert max(map(len, done.out.split("\n"))) <= 100
    for words in ("as DOTA's RMMU does.", "can be compared.", "predictor beside it.", "500 MHz."):
        assert words in done.out  # the ends of summaries of one line and of several


def test_show_prints_a_design_to_start_from(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(dsasim("arch", "show", "dsa-edge", "--set", "pe_array.lanes=2").out, encoding="utf-8")
    assert load_arch(path) == load_arch("dsa-edge", ["pe_array.lanes=2"])


def test_show_keeps_the_comments_or_resolves_every_value(dsasim: Callable) -> None:
    assert dsasim("arch", "show").out.startswith("# The decoupled array of DSA")
    resolved = dsasim("arch", "show", "--resolved").out
    assert "#" not in resolved
    assert "lane_sync: lock_step" in resolved  # a default, which the file leaves out


def test_check_says_ok(dsasim: Callable) -> None:
    assert dsasim("arch", "check", "dsa-edge").out == "OK: dsa-edge is the design dsa-edge\n"


def test_check_lists_every_problem_and_ends_with_2(dsasim: Callable, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: bad\nclock_ghz: 99\n", encoding="utf-8")
    done = dsasim("arch", "check", str(path))
    assert (done.status, done.out) == (2, "")
    first, *rest = done.err.rstrip("\n").split("\n")
    assert first == f"dsasim: error: {len(rest)} problems"
    assert f"  {path}:2: clock_ghz: 99 is not a number from 0.01 to 10 with at most 4 decimal places" in rest
    assert any("cost: missing" in problem for problem in rest)


def test_one_problem_is_one_line(dsasim: Callable) -> None:
    done = dsasim("arch", "check", "dsa-edge", "--set", "pe_array.lanes=0")
    assert done.err == (
        "dsasim: error: --set pe_array.lanes=0: pe_array.lanes: 0 is not a whole number from 1 to 1024\n"
    )


def test_check_knows_the_memory(dsasim: Callable) -> None:
    done = dsasim("arch", "check", "dsa-edge", "--set", "dram.preset=HBM2", "--set", "dram.ranks=2")
    assert (done.status, done.err) == (2, "dsasim: error: HBM2 has one rank a channel, not 2\n")
