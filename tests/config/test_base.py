"""`base:` in a design: another design's values wherever this one is silent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dsasim.config.loader import load_arch
from dsasim.errors import ConfigError

MINE = "base: dsa-edge\nname: mine\n"


def test_worked_example(design: Callable[..., Path]) -> None:
    found, edge = load_arch(design(MINE + "pe_array: {lanes: 2}\n")), load_arch("dsa-edge")
    assert found.pe_array.lanes == 2 != edge.pe_array.lanes
    assert found.name == "mine"
    expected = edge.model_dump() | {"name": "mine", "pe_array": edge.pe_array.model_dump() | {"lanes": 2}}
    assert found.model_dump() == expected


def test_a_file_beside_it_and_a_base_of_a_base(design: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "first.yaml").write_text(MINE + "clock_ghz: 2\nsoftmax: {exp_per_cycle: 3}\n")
    (tmp_path / "below" / "second.yaml").write_text("base: first.yaml\nsoftmax: {div_per_cycle: 5}\n")
    found = load_arch(design("base: below/second.yaml\nclock_ghz: 3\n"))
    assert (found.clock_ghz, found.softmax.exp_per_cycle, found.softmax.div_per_cycle) == (3, 3, 5)
    assert found.dram == load_arch("dsa-edge").dram


def test_a_section_that_is_null_takes_the_base_s_away(design: Callable[..., Path]) -> None:
    text = "base: dense-16x16\nname: mine\nbuffers: {mask: null}\n"
    assert load_arch("dense-16x16").buffers.mask is not None
    assert load_arch(design(text)).buffers.mask is None


def test_overrides_come_last(design: Callable[..., Path]) -> None:
    assert load_arch(design(MINE + "clock_ghz: 2\n"), ["clock_ghz=4"]).clock_ghz == 4


def test_problems_are_told_where_they_were_written(problems: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(MINE + "softmax:\n  exp_per_cycle: 0\n", encoding="utf-8")
    found = problems("base: b.yaml\n\npe_array: {lanes: 0}\n")
    assert any(line.strip().startswith("d.yaml:3: pe_array.lanes: ") for line in found)
    assert any(line.strip().startswith("b.yaml:4: softmax.exp_per_cycle: ") for line in found)
    mended = problems("base: b.yaml\n\npe_array: {lanes: 0}\nsoftmax: {exp_per_cycle: 1}\n")
    assert mended[0].startswith("d.yaml:3: pe_array.lanes: ")


def test_what_a_base_spells_wrongly_is_mended_by_another_value(
    problems: Callable[..., list[str]], design: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "b.yaml").write_text(MINE + "clock_ghz: 1\nclock_ghz: 2\n", encoding="utf-8")
    assert "clock_ghz" in problems("base: b.yaml\n")[0]
    assert load_arch(design("base: b.yaml\nclock_ghz: 3\n")).clock_ghz == 3


BAD = {
    "a number": ("base: 5\n", "d.yaml:1: base: the name of a design or a file, not 5"),
    "unknown": ("base: dsa-edg\n", "d.yaml:1: base: "),
    "nearest": ("base: dsa-edg\n", "dsa-edge"),
    "no file": ("base: nowhere.yaml\n", "nowhere.yaml: cannot be read: no such file"),
    "itself": ("base: d.yaml\n", "base: d.yaml leads back to itself"),
    "unknown key": (MINE + "lanes: 2\n", "d.yaml:3: lanes: unknown key; did you mean pe_array.lanes?"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_no_base(problems: Callable[..., list[str]], text: str, message: str) -> None:
    assert message in "\n".join(problems(text))


def test_a_long_chain_is_read_to_its_end(design: Callable[..., Path], tmp_path: Path) -> None:
    for at in range(8):
        text = f"base: c{at + 1}.yaml\n" if at < 7 else MINE
        (tmp_path / f"c{at}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="leads back to itself"):
        load_arch(design("base: c0.yaml\n"))
    assert load_arch(design("base: c1.yaml\n")).name == "mine"
