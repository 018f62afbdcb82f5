"""Address mappings: worked examples, every place once, and what is refused."""

import numpy as np
import pytest

from dsasim.errors import ConfigError
from dsasim.kernels.dram_mapping import locate
from dsasim.model.dram_memory import MemoryUse, new_memory
from dsasim.model.dram_preset import load_presets


def places(preset: str, use: MemoryUse, bursts: list[int]) -> list[tuple[int, int, int]]:
    memory = new_memory(load_presets()[preset], use)
    return [locate(memory.fixed, memory.pieces, memory.hashes, burst) for burst in bursts]


def test_fields_from_the_least_significant() -> None:
    """128 bursts of a row, then bank groups (4 banks each), then banks, then rows."""
    use = MemoryUse("row-bank-bankgroup-rank-column")
    found = places("DDR4_2400", use, [0, 127, 128, 512, 2048, 2048 * 65536])
    assert found == [(0, 0, 0), (0, 0, 0), (0, 4, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]


def test_channel_and_rank_left_out_are_lowest() -> None:
    use = MemoryUse("row-bank-bankgroup-column", channels=3, ranks=2)
    assert [(channel, bank) for channel, bank, _ in places("DDR4_2400", use, [0, 1, 2, 3, 4])] == [
        (0, 0),
        (1, 32),
        (2, 64),
        (0, 16),
        (1, 48),
    ]


def test_mop4_by_hand() -> None:
    """DDR4: four bursts, bank groups, banks, XORed with column bits 0 and 1, 2 and 3; the row with bits 4 to 6.

    Burst 3 is column 3: bank group 0 ^ 3. Burst 64 is past 4 bursts x 16 banks, so column 4: bank 0 ^ 1. Burst 1024 is
    column 64 = 0b1000000: row 0 ^ 0b100.
    """
    found = places("DDR4_2400", MemoryUse("mop4"), [0, 1, 3, 4, 16, 64, 1024])
    assert found == [(0, 0, 0), (0, 4, 0), (0, 12, 0), (0, 4, 0), (0, 1, 0), (0, 1, 0), (0, 0, 4)]


def test_mop4_has_the_channel_lowest() -> None:
    found = places("HBM2", MemoryUse("mop4", channels=8), list(range(8)))
    assert found == [(channel, 32 * channel, 0) for channel in range(8)]


@pytest.mark.parametrize("preset", ["DDR4_2400", "LPDDR5_6400", "HBM2", "HBM3"])
@pytest.mark.parametrize(
    "mapping", ["row-bank-bankgroup-rank-column", "row-stack-column-bank-channel-bankgroup", "mop4"]
)
def test_every_burst_of_some_rows_has_a_place_of_its_own(preset: str, mapping: str) -> None:
    """The lowest bursts fill whole rows: each bank's row 0 .. n takes as many bursts as it has."""
    device = load_presets()[preset]
    banks = 2 * device.pseudo_channels * device.stacks * device.bank_groups * device.banks_per_group
    found = places(preset, MemoryUse(mapping, channels=2), list(range(8 * banks * device.bursts_per_row)))
    _, counts = np.unique(np.array(found)[:, 1:], axis=0, return_counts=True)
    assert np.all(counts == device.bursts_per_row)
    assert len(counts) == 8 * banks


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("row-bank", "leaves out bankgroup"),
        ("row-bank-bankgroup-column-column", "names column twice"),
        ("row-rank-pseudochannel-bank-bankgroup-column", "names rank twice"),
        ("mop8", "no address field 'mop8'; there are channel, rank, stack, bankgroup, bank, row, column, or mop4"),
    ],
)
def test_a_mapping_that_is_none(mapping: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_memory(load_presets()["DDR4_2400"], MemoryUse(mapping))
