"""`--set a.b=value`."""

import pytest

from dsasim.config.loader import load_arch
from dsasim.errors import ConfigError


def test_the_last_one_wins() -> None:
    assert load_arch("dsa-decoupled", ["pe_array.lanes=2", "pe_array.lanes=8"]).pe_array.lanes == 8


def test_values_are_yaml_scalars() -> None:
    arch = load_arch("dsa-decoupled", ["name='on'", "buffers.q.double_buffered=false", "predictor.rank=null"])
    assert (arch.name, arch.buffers.q.double_buffered, arch.predictor.rank) == ("on", False, None)


def test_a_key_that_the_file_lacks_may_be_set() -> None:
    assert load_arch("dsa-decoupled", ["predictor.rank=8"]).predictor.rank == 8


def test_an_override_mends_a_value_that_is_out_of_range() -> None:
    assert load_arch("dsa-decoupled", ["pe_array.lanes=0", "pe_array.lanes=2"]).pe_array.lanes == 2


def test_a_section_that_the_file_lacks_may_be_filled() -> None:
    keys = ("bytes=8192", "banks=4", "port_bytes=16", "double_buffered=true")
    arch = load_arch("dense-16x16", [f"buffers.predictor.{key}" for key in keys])
    assert arch.buffers.predictor is not None


def test_a_section_filled_in_part_says_what_is_missing() -> None:
    with pytest.raises(ConfigError) as caught:
        load_arch("dense-16x16", ["buffers.predictor.bytes=8192"])
    assert "--set buffers.predictor.bytes=8192: buffers.predictor.banks: missing; it must be a whole number" in str(
        caught.value
    )


def test_an_optional_section_may_be_taken_away() -> None:
    arch = load_arch("dsa-decoupled", ["predictor.method=dense", "mask_generator=null", "buffers.mask=null"])
    assert arch.mask_generator is None
    assert arch.buffers.mask is None


BAD = {
    "true is no share": (
        "mask_generator.density=true",
        "mask_generator.density: true is not a number above 0, at most 1",
    ),
    "six ranks": ("dram.ranks=6", "dram.ranks: 6 is not one of 1, 2, 4, 8"),
    "no equals": ("pe_array.lanes", "expected KEY=VALUE, such as --set mask_generator.density=0.05"),
    "typo": ("predictor.sigm=.5", "no such key predictor.sigm; did you mean predictor.sigma?"),
    "no section": ("density=.2", "no such key density; did you mean mask_generator.density?"),
    "section typo": ("bufers.q.bytes=3", "no such section bufers; did you mean buffers?"),
    "section": ("predictor=4", "predictor is a section; set one of its keys, such as predictor.method"),
    "below a value": ("name.x=1", "name holds a value, it is not a section"),
    "empty key": ("=3", "no such key"),
    "list": ("pe_array.lanes=[4]", "the value must be one scalar, got a list"),
    "range": ("pe_array.lanes=0", "pe_array.lanes: 0 is not a whole number from 1 to 1024"),
    "true for a number": ("mask_generator.density=true", "mask_generator.density: true is not a number above 0"),
    "a bound of 0": ("pe_array.switch_cycles=-1", "switch_cycles: -1 is not a whole number from 0 to 4096"),
    "ambiguous": ("pe_array.lanes=012", "`012` means different things"),
    "syntax": ("name='x", "not valid YAML"),
    "rule": ("scheduler.tile_rows=63", "scheduler: tile_rows 63 is not a multiple of token_parallelism 4"),
    "required": ("pe_array=null", "pe_array: null is not a section"),
    "nothing": ("pe_array.lanes=", "pe_array.lanes: null is not a whole number"),
}


@pytest.mark.parametrize(("override", "message"), BAD.values(), ids=BAD)
def test_an_error_names_the_flag(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_arch("dsa-decoupled", [override])
    assert str(caught.value).startswith(f"--set {override}")
    assert message in str(caught.value)


def test_problems_of_flags_are_listed_as_the_flags_were_given() -> None:
    flags = ["softmax.exp_per_cycle=0", "pe_array.lanes=0", "dma.open_transfers=0"]
    with pytest.raises(ConfigError) as caught:
        load_arch("dsa-decoupled", flags)
    assert [line.split(": ")[0] for line in str(caught.value).split("\n")] == [f"--set {flag}" for flag in flags]


def test_a_broken_rule_names_the_flag_that_had_the_last_word() -> None:
    """Both keys of the rule are set, the second so that it breaks."""
    flags = ["scheduler.token_parallelism=4", "scheduler.tile_rows=30"]
    for given in (flags, [flags[1], "scheduler.token_parallelism=8"]):
        with pytest.raises(ConfigError) as caught:
            load_arch("dsa-decoupled", given)
        assert str(caught.value).startswith(f"--set {given[1]}: scheduler: tile_rows 30 is not a multiple")
