"""What is said of a design beside its name."""

from dsasim.config.changes import changes_of, design_words
from dsasim.config.loader import load_arch
from dsasim.config.resolved import arch_to_dict


def test_a_shipped_design_as_it_is_has_no_changes() -> None:
    assert changes_of(load_arch("dsa-edge")) == ()


def test_what_differs_from_the_shipped_design_of_the_name_is_found() -> None:
    arch = load_arch("dsa-edge", ["pe_array.lanes=2", "dram.page=closed", "buffers.q.num_slots=3"])
    assert changes_of(arch) == ("pe_array.lanes=2", "buffers.q.num_slots=3", "dram.page=closed")


def test_what_was_set_is_said_as_it_was_written_the_last_of_each() -> None:
    overrides = ["pe_array.lanes=3", "clock_ghz=5e-1", "pe_array.lanes = 2"]
    assert changes_of(load_arch("dsa-edge", overrides), overrides) == ("pe_array.lanes = 2", "clock_ghz=5e-1")


def test_a_file_of_a_shipped_name_that_is_another_design_is_found_out() -> None:
    values = arch_to_dict(load_arch("dsa-edge")) | {"technology_nm": 22}
    arch = load_arch(values, ["pe_array.lanes=2"])
    assert changes_of(arch, ["pe_array.lanes=2"]) == ("pe_array.lanes=2", "technology_nm=22")


def test_a_design_of_another_name_has_what_was_set() -> None:
    arch = load_arch("dsa-edge", ["name=mine", "pe_array.lanes=2"])
    assert changes_of(arch) == ()
    assert changes_of(arch, ["pe_array.lanes=2"]) == ("pe_array.lanes=2",)


def test_a_section_taken_away_is_one_change() -> None:
    overrides = ["predictor.method=dense", "mask_generator=null"]
    assert set(changes_of(load_arch("dsa-edge", overrides))) == set(overrides)


def test_words_count_what_they_do_not_show() -> None:
    assert design_words("x", ()) == "x"
    assert design_words("x", ("a=1", "b=2")) == "x with a=1, b=2"
    assert design_words("x", [f"k{at}={at}" for at in range(8)]).endswith("k4=4, k5=5 and 2 more")
