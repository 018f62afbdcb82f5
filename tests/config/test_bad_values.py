"""What is wrong inside a design: the line, the key, and what would be right."""

from collections.abc import Callable

import pytest

from dsasim.config.loader import load_arch
from dsasim.errors import ConfigError

AMBIGUOUS = "means different things to different YAML readers"

LINES = {
    # the line that holds this → becomes this → key and message
    "choice": ("technology_nm:", "technology_nm: 23", "technology_nm: 23 is not one of 65, 45, 32, 28,"),
    "choice of text": ("order:", "  order: random", 'scheduler.order: the text "random" is not one of in_order, reord'),
    "choice as fraction": ("  bits: 4", "  bits: 4.0", "predictor.bits: 4.0 is not one of 2, 4, 8, or null"),
    "true misspelt": ("refresh:", "  refresh: tRue", 'dram.refresh: the text "tRue" is not true or false'),
    "null misspelt": ("refresh:", "  refresh: nulL", 'dram.refresh: the text "nulL" is not true or false'),
    "false as 0": ("refresh:", "  refresh: 0", "dram.refresh: 0 is not true or false"),
    "negative": ("lanes:", "  lanes: -4", "pe_array.lanes: -4 is not a whole number from 1 to 1024"),
    "zero": ("  lanes:", "  lanes: 0", "pe_array.lanes: 0 is not a whole number from 1 to 1024"),
    "absurd": ("  lanes:", "  lanes: 99999", "pe_array.lanes: 99999 is not a whole number from 1 to 1024"),
    "more digits than exact": ("  lanes:", "  lanes: " + "9" * 5000, "has more than 15 digits"),
    "exponent": ("  lanes:", "  lanes: 1e9", "pe_array.lanes: 1e+9 is not a whole number from 1 to 1024"),
    "huge exponent": ("sigma:", "  sigma: 1e-999999999", "predictor.sigma: `1e-999999999` is beyond any range"),
    "whole as fraction": ("  lanes:", "  lanes: 64.0", "pe_array.lanes: 64.0 is not a whole number"),
    "quoted number": (
        "  lanes:",
        '  lanes: "4"',
        '"4" is not a whole number from 1 to 1024; write the number without q',
    ),
    "bool as number": ("  lanes:", "  lanes: true", "pe_array.lanes: true is not a whole number from 1 to 1024"),
    "true as density": ("  density:", "  density: true", "mask_generator.density: true is not a number above 0, at mo"),
    "true as sigma": ("  sigma:", "  sigma: true", "predictor.sigma: true is not a number above 0, at most 1, or null"),
    "on": ("  lanes:", "  lanes: on", f"pe_array.lanes: `on` {AMBIGUOUS}"),
    "octal": ("  lanes:", "  lanes: 012", f"pe_array.lanes: `012` {AMBIGUOUS}"),
    "hex": ("  lanes:", "  lanes: 0x10", f"pe_array.lanes: `0x10` {AMBIGUOUS}"),
    "underscore": ("  lanes:", "  lanes: 1_0", f"pe_array.lanes: `1_0` {AMBIGUOUS}"),
    "sexagesimal": ("  lanes:", "  lanes: 1:30", f"pe_array.lanes: `1:30` {AMBIGUOUS}"),
    "date": ("name:", "name: 2021-10-21", f"name: `2021-10-21` {AMBIGUOUS}"),
    "infinite": ("pe_overhead", "  pe_overhead_ratio: .inf", "cost.pe_overhead_ratio: `.inf` is not a finite number"),
    "above 1": ("  density:", "  density: 1.5", "mask_generator.density: 1.5 is not a number above 0, at most 1"),
    "density true": (
        "  density:",
        "  density: true",
        "mask_generator.density: true is not a number above 0, at most 1",
    ),
    "density 0": ("  density:", "  density: 0", "mask_generator.density: 0 is not a number above 0, at most 1"),
    "places": ("clock_ghz:", "clock_ghz: 1.00001", "clock_ghz: 1.00001 is not a number from 0.01 to 10 with at most 4"),
    "null": ("  lanes:", "  lanes:", "pe_array.lanes: null is not a whole number"),
    "list": ("  lanes:", "  lanes: [4]", "pe_array.lanes: a list is not a whole number"),
    "mapping": ("  lanes:", "  lanes: {a: 4}", "pe_array.lanes: a section is not a whole number"),
    "number as text": ("  mapping:", "  mapping: 5", "dram.mapping: 5 is not text"),
    "long name": ("name:", f"name: {'x' * 81}", "is not text of 1 to 80 characters"),
    "unknown key": ("  lanes:", "  lanse: 4", "pe_array.lanse: unknown key; did you mean pe_array.lanes?"),
    "key of another section": (
        "  lanes:",
        "  tile_rows: 4",
        "pe_array.tile_rows: unknown key; did you mean scheduler.tile_rows?",
    ),
    "key like nothing": ("  lanes:", "  zzz: 4", "pe_array.zzz: unknown key; here may stand: organisation,"),
    "rule between keys": (
        "tile_rows:",
        "  tile_rows: 63",
        "scheduler: tile_rows 63 is not a multiple of token_parallel",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), LINES.values(), ids=LINES)
def test_one_bad_line(
    edited: Callable[[str, str], tuple[str, int]],
    problems: Callable[..., list[str]],
    old: str,
    new: str,
    message: str,
) -> None:
    text, line = edited(old, new)
    first = problems(text)[0] if "unknown" not in message else next(p for p in problems(text) if "unknown" in p)
    assert first.startswith(f"d.yaml:{line}: ")
    assert message in first


def test_a_missing_key_is_at_its_section(
    edited: Callable[..., tuple[str, int]], problems: Callable[..., list[str]]
) -> None:
    text, line = edited("  lanes:", "")
    section = text.split("\n").index("pe_array:") + 1
    assert problems(text) == [f"d.yaml:{section}: pe_array.lanes: missing; it must be a whole number from 1 to 1024"]
    assert section < line


def test_a_duplicate_key_names_both_lines(
    edited: Callable[..., tuple[str, int]], problems: Callable[..., list[str]]
) -> None:
    text, line = edited("  lanes:", "  lanes: 4\n  lanes: 8")
    assert problems(text) == [f"d.yaml:{line + 1}: pe_array.lanes: duplicate key, first given at d.yaml:{line}"]


def test_a_duplicate_section_is_found(default_text: str, problems: Callable[..., list[str]]) -> None:
    found = problems(default_text + "\ncost: {}\n")
    assert len(found) == 1
    assert "cost: duplicate key" in found[0]


def test_a_rule_of_the_whole_design_is_at_the_key_that_asks(
    default_text: str, problems: Callable[..., list[str]]
) -> None:
    start, rest = default_text.split("mask_generator:\n", 1)
    text = start + rest[rest.index("scheduler:") :]
    line = next(i for i, line in enumerate(text.split("\n"), 1) if "method:" in line)
    assert problems(text) == [f"d.yaml:{line}: predictor.method dsa2021 needs mask_generator"]


def test_every_problem_is_reported_in_reading_order(default_text: str, problems: Callable[..., list[str]]) -> None:
    text = default_text.replace("clock_ghz: 1.0", "clock_ghz: fast").replace("  lanes: 4", "  lanes: on\n  lanse: 3")
    text = text.replace("  channels: 2", "  channels: 0\n  channels: 1")
    found = problems(text)
    assert [problem.split(": ")[1] for problem in found] == [
        "clock_ghz",
        "pe_array.lanes",
        "pe_array.lanse",
        "dram.channels",
        "dram.channels",
    ]
    lines = [int(problem.split(":")[1]) for problem in found]
    assert lines == sorted(lines)


def test_a_plain_exponent_is_the_number_it_looks_like(
    edited: Callable[..., tuple[str, int]], design: Callable[..., object]
) -> None:
    """PyYAML reads 1e-1 as text; YAML 1.2, and every reader of the file, as a tenth."""
    text, _ = edited("  density:", "  density: 1e-1")
    assert str(load_arch(design(text)).mask_generator.density) == "0.1"


def test_a_density_is_kept_exactly(edited: Callable[..., tuple[str, int]], design: Callable[..., object]) -> None:
    """As a float, ceil(0.07 * 100) is 8."""
    text, _ = edited("  density:", "  density: 0.07")
    density = load_arch(design(text)).mask_generator.density
    assert -(-density * 100 // 1) == 7


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("predictor.method=oracle_threshold",), "needs mask_generator.selection threshold, not top_k"),
        (
            ("predictor.method=oracle_topk", "mask_generator.selection=threshold", "mask_generator.threshold=1"),
            "needs mask_generator.selection top_k, not threshold",
        ),
        (
            ("predictor.method=oracle_threshold", "mask_generator.selection=threshold"),
            "mask_generator: selection threshold needs threshold",
        ),
    ],
)
def test_an_oracle_selects_as_its_name_says(
    default_text: str, problems: Callable[..., list[str]], overrides: tuple[str, ...], message: str
) -> None:
    (problem,) = problems(default_text, *overrides)
    assert problem.endswith(message)
    assert problem.startswith("--set ")


@pytest.mark.parametrize(
    "override", ["scheduler.tile_rows=30", "scheduler.token_parallelism=5", "mask_generator.top_k_unit=bitonic"]
)
def test_a_rule_between_keys_names_the_flag_that_broke_it_whichever_key_it_set(
    default_text: str, problems: Callable[..., list[str]], override: str
) -> None:
    text = default_text.replace("comparators: 16", "comparators: 12")
    (problem,) = problems(text, override)
    assert problem.startswith(f"--set {override}: {override.split('.', maxsplit=1)[0]}: ")


def test_macs_of_a_row_and_of_the_whole_array_may_not_contradict_each_other() -> None:
    """4 lanes of 4 rows: 512 MACs are 32 a row; given as 16 a row too, one of the two is wrong."""
    only = ("pe_array.lanes=4", "scheduler.token_parallelism=4", "pe_array.total_macs=512")
    assert load_arch("dsa-decoupled", (*only, "pe_array.macs_per_row=null")).pe_array.macs_per_row == 32
    assert load_arch("dsa-decoupled", (*only, "pe_array.macs_per_row=32")).macs == 512
    with pytest.raises(ConfigError, match="total_macs 512 contradicts lanes x token_parallelism x macs_per_row = 256"):
        load_arch("dsa-decoupled", (*only, "pe_array.macs_per_row=16"))


def test_lanes_that_share_out_heads_need_whole_tiles() -> None:
    """3 lanes of 4 rows are 12: tiles of 24 rows are two of those, of 32 are not; 6 would be half of one."""
    heads = ("pe_array.lane_split=heads", "pe_array.lanes=3")
    assert load_arch("dsa-decoupled", (*heads, "scheduler.tile_rows=24")).scheduler.tile_rows == 24
    for rows in (32, 4):
        with pytest.raises(ConfigError, match=f"tile_rows {rows} to be a multiple of lanes x token_parallelism = 12"):
            load_arch("dsa-decoupled", (*heads, f"scheduler.tile_rows={rows}"))


def test_a_buffer_has_the_slots_that_it_names() -> None:
    for slots, double in ((1, "false"), (2, "true"), (5, "true")):
        named = (f"buffers.q.num_slots={slots}", f"buffers.q.double_buffered={double}")
        assert load_arch("dsa-decoupled", named).buffers.q.slots == slots
    for double, slots in (("false", 1), ("true", 2)):
        unnamed = ("buffers.q.num_slots=null", f"buffers.q.double_buffered={double}")
        assert load_arch("dsa-decoupled", unnamed).buffers.q.slots == slots


@pytest.mark.parametrize("text", ["0.000000000000000000123", "1.23456789012345", "-0.00000000000000000001"])
def test_zeros_in_front_are_no_digits_of_a_number(text: str) -> None:
    arch = load_arch(
        "dsa-decoupled",
        ("predictor.method=oracle_threshold", "mask_generator.selection=threshold", f"mask_generator.threshold={text}"),
    )
    assert arch.mask_generator is not None
    assert arch.mask_generator.threshold == float(text)
