"""Closed forms against their worked examples, at the last number that fits and the first that does not."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import MachineConfig
from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.rules import Mapping, Rules
from dsasim.errors import ConfigError
from dsasim.mappings.folds import SystolicArray

Make = Callable[..., DenseConfig]


def test_the_docstring_s_products(small_config: Make) -> None:
    """20 keys, d_head 8 on 4 x 4 PEs: whole, in two sub-arrays, and these with keys split."""
    config = small_config()
    whole, halves, split = (Rules(config, Mapping(8, 20, *parts), 8) for parts in ((1, 1), (2, 1), (2, 2)))
    assert [rules.score_cycles(20) for rules in (whole, halves, split)] == [5 * 8, 3 * 8, 3 * 8]
    assert [rules.output_cycles(20) for rules in (whole, halves, split)] == [2 * 20, 1 * 20, 2 * 10]
    assert [rules.lag for rules in (whole, halves, split)] == [10, 8, 8]
    assert [rules.block_rows for rules in (whole, halves, split)] == [4, 2, 2]
    assert [rules.sums for rules in (whole, halves, split)] == [8, 8, 16]


def test_the_docstring_s_softmax_and_rescaling(make_config: Make) -> None:
    rules = Rules(make_config(), Mapping(2, 17), 8)
    exponentials = sum(rules.exp_groups(keys) for keys in (16, 17))
    assert rules.softmax_cycles(exponentials, 2, first=False) == 36
    assert rules.softmax_cycles(exponentials, 2, first=True) == 35
    assert rules.rescale_cycles(3) == 6


@pytest.mark.parametrize(("keys", "folds"), [(1, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_a_fold_more_where_the_columns_are_full(make_config: Make, keys: int, folds: int) -> None:
    rules = Rules(make_config(), Mapping(16, 64), 64)
    assert rules.score_folds(keys) == folds
    assert rules.score_cycles(keys) == folds * 64


@pytest.mark.parametrize(("d_head", "folds"), [(15, 1), (16, 1), (17, 2), (64, 4), (65, 5)])
def test_output_columns(make_config: Make, d_head: int, folds: int) -> None:
    assert Rules(make_config(), Mapping(16, 64), d_head).output_folds == folds
    assert Rules(make_config(), Mapping(16, 64, 4), d_head).output_folds == -(-folds // 4)
    assert Rules(make_config(), Mapping(16, 64, 4, 4), d_head).output_folds == folds


@pytest.mark.parametrize(("keys", "cycles"), [(0, 0), (1, 16), (16, 16), (17, 17)])
def test_a_column_s_port_needs_a_cycle_a_row(make_config: Make, keys: int, cycles: int) -> None:
    """However short the stream; blocks without keys have no folds."""
    rules = Rules(make_config(), Mapping(16, 64), 16)
    assert rules.output_cycles(keys) == cycles
    assert Rules(make_config(), Mapping(16, 64), 15).score_cycles(16) == 16


def test_the_whole_array_is_the_systolic_one(make_config: Make) -> None:
    """One product alone takes its folds, and the lag after them (`dataflow.folds`)."""
    array, rules = SystolicArray(16, 16), Rules(make_config(), Mapping(64, 64), 64)
    blocks = 64 // rules.block_rows
    for keys in (16, 50, 64):
        assert blocks * rules.score_cycles(keys) + rules.lag == array.cycles([array.folds(64, 64, keys)])
        assert blocks * rules.output_cycles(keys) + rules.lag == array.cycles([array.folds(64, keys, 64)])


def test_numbers_and_arrays_of_them_agree(make_config: Make) -> None:
    widths = np.arange(200)
    for mapping in (Mapping(16, 64), Mapping(16, 64, 2), Mapping(16, 64, 4, 2)):
        rules = Rules(make_config(), mapping, 48)
        for rule in (rules.score_cycles, rules.output_cycles, rules.exp_groups):
            assert rule(widths).tolist() == [int(rule(int(width))) for width in widths]


@pytest.mark.parametrize(("banks", "stretch"), [(4, 1), (3, 2), (1, 4)])
def test_slow_ports_stretch_the_stream(make_config: Make, banks: int, stretch: int) -> None:
    """4 sub-arrays of 16 columns want 128 bytes a cycle; one array of 16, 32."""
    config = make_config(f"buffers.k.banks={banks}", f"buffers.v.banks={banks}")
    rules = Rules(config, Mapping(4, 64, 4), 64)
    assert rules.score_cycles(64) == 64 * stretch
    assert rules.output_cycles(64) == 64 * stretch
    assert rules.score_cycles(64, conflicts=False) == rules.output_cycles(64, conflicts=False) == 64
    assert Rules(config, Mapping(16, 64), 64).score_cycles(16) == 64


@pytest.mark.parametrize(("banks", "cycles"), [(5, 4 + 12), (4, 4 + 24)])
def test_the_rescaler_waits_for_the_output_buffer(make_config: Make, banks: int, cycles: int) -> None:
    """16 sums of 5 bytes read and written, 160 bytes a cycle of ports of 32."""
    assert Rules(make_config(f"buffers.output.banks={banks}"), Mapping(3, 64), 64).rescale_cycles(3) == cycles


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("array.sub_arrays=3", "sub_arrays 3 does not divide rows 16"),
        ("mapping.sub_arrays=3", "mapping.sub_arrays 3 does not divide array.sub_arrays 4"),
        ("mapping.key_splits=3", "mapping.key_splits 3 does not divide the 4 sub-arrays"),
        ("mapping.keys=0", "0 is not a whole number from 1 to 1048576, or auto"),
        ("mapping.keys=all", 'the text "all" is not a whole number from 1 to 1048576, or auto'),
        ("array.bits=12", "12 is not one of 8, 16, 32"),
    ],
)
def test_what_a_design_may_not_say(make_config: Make, override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_config(override)


def test_auto_is_none_and_is_written_as_auto(make_config: Make) -> None:
    config: MachineConfig = make_config("mapping.keys=64", "mapping.query_rows=auto")
    assert config.mapping.keys == 64
    assert config.mapping.query_rows is None
    assert config.model_dump()["mapping"]["query_rows"] == "auto"
    assert make_config("mapping.keys=null").mapping.keys is None
