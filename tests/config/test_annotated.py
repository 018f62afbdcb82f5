"""A design's file with `--set` written into it: comments stay, and it reads as the design that runs."""

from pathlib import Path

import pytest

from dsasim.config.annotated import NOT_KEPT, annotated_yaml
from dsasim.config.loader import list_archs, load_arch
from dsasim.errors import ConfigError

SHIPPED = {shipped.name: shipped.path for shipped in list_archs()}
SMALL = SHIPPED["dsa-edge"].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SHIPPED)
def test_without_changes_it_is_the_file(name: str) -> None:
    assert annotated_yaml(name) == SHIPPED[name].read_text(encoding="utf-8")


CHANGES = {
    "a value": (["pe_array.lanes=2"], "  lanes: 2  # --set, the file has 4; there: assumed: as many"),
    "the last wins": (["pe_array.lanes=3", "pe_array.lanes=2"], "  lanes: 2  # --set, the file has 4; there:"),
    "in braces": (["buffers.k.banks=8"], "# assumed: two heads of keys  # --set banks, the file has 32"),
    "two in braces": (["buffers.k.banks=8", "buffers.k.port_bytes=16"], "  # --set port_bytes, the file has 64"),
    "a key the file lacks": (["dram.page=closed"], "  page: closed  # --set\n"),
    "one in braces": (["buffers.q.num_slots=3"], "{num_slots: 3, bytes: 16384,"),
    "text": (["name=1e3 and more"], "name: 1e3 and more  # --set, the file has dsa-decoupled\n"),
    "text like a number": (['name="007"'], 'name: "007"  # --set'),
}


@pytest.mark.parametrize(("overrides", "line"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_in_its_line_and_all_comments_stay(overrides: list[str], line: str, tmp_path: Path) -> None:
    text = annotated_yaml("dsa-decoupled", overrides)
    assert line in text
    comments = [row.partition("# ")[2] for row in SHIPPED["dsa-decoupled"].read_text(encoding="utf-8").splitlines()]
    assert all(comment in text for comment in comments)
    path = tmp_path / "shown.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_arch(path) == load_arch("dsa-decoupled", overrides)


def test_a_section_taken_away_is_shown_resolved_and_said(tmp_path: Path) -> None:
    overrides = ["predictor.method=dense", "mask_generator=null", "pe_array.lanes=1"]
    text = annotated_yaml("dsa-decoupled", overrides)
    assert text.startswith(NOT_KEPT)
    path = tmp_path / "shown.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_arch(path) == load_arch("dsa-decoupled", overrides)


def test_a_comment_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(SMALL + "#\tgood \u202e evil\n", encoding="utf-8", newline="\r\n")
    text = annotated_yaml(str(path))
    assert text == SMALL + "#\tgood \\u202e evil\n"


def test_what_no_design_may_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pe_array\.lanes: 0 is not"):
        annotated_yaml("dsa-edge", ["pe_array.lanes=0"])
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="clock_ghz: missing"):
        annotated_yaml(str(path))
