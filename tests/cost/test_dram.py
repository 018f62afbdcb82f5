"""DRAM device energy."""

import pytest

from dsasim.cost.dram import dram_energy


def test_bursts_pay_core_and_io_for_every_bit() -> None:
    """512 bits x (5.481 + 5.0) = 5366.272 pJ read; 512 x (4.63 + 5.0) = 4930.56 pJ written."""
    energy = dram_energy("DDR4_3200")
    assert energy.read_burst_pj == pytest.approx(5366.272)
    assert energy.write_burst_pj == pytest.approx(4930.56)


def test_row_events_and_standby_are_the_data_sheets() -> None:
    energy = dram_energy("DDR4_3200")
    assert (energy.activate_pj, energy.refresh_pj, energy.standby_mw) == (4233.6, 670600, 499.2)


def test_activate_follows_from_the_currents() -> None:
    """DRAMsim3's formula: 8 devices, tCK 0.63 ns, tRAS 52, tRP 22, VDD 1.2 V, IDD0 57, IDD3N 52, IDD2N 37 mA.

    1.2 x (57 x 74 - (52 x 52 + 37 x 22)) x 8 = 1.2 x 700 x 8 = 6720 mW cycles; x 0.63 ns = 4233.6 pJ.
    """
    currents_ma_cycles = 57 * 74 - (52 * 52 + 37 * 22)
    assert dram_energy("DDR4_3200").activate_pj == pytest.approx(1.2 * currents_ma_cycles * 8 * 0.63)


def test_all_in_read_energy_is_near_horowitz() -> None:
    """Horowitz 2014 gives 1300 to 2600 pJ for 64 bits, 20 to 40 pJ/bit, of an older generation.

    A row-sequential DDR4 stream is 10.5 pJ/bit: between a quarter of the low end and the high end.
    """
    per_bit = dram_energy("DDR4_3200").read_burst_pj / 512
    assert 20 / 4 < per_bit < 40


def test_both_presets_of_the_schema_are_known() -> None:
    assert dram_energy("DDR4_2400").standby_mw == dram_energy("DDR4_3200").standby_mw
    assert all("at 2400" in source for source in dram_energy("DDR4_2400").sources if source.startswith("activate"))
