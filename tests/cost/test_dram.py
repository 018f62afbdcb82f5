"""DRAM device energy."""

import pytest

from dsasim.cost.dram import dram_energy
from dsasim.model.dram_preset import load_presets


def test_bursts_pay_core_and_io_for_every_bit() -> None:
    """512 bits x (5.481 + 5.0) = 5366.272 pJ read; 512 x (4.63 + 5.0) = 4930.56 pJ written."""
    energy = dram_energy("DDR4_3200")
    assert energy.read_burst_pj == pytest.approx(5366.272)
    assert energy.write_burst_pj == pytest.approx(4930.56)


def test_row_events_and_standby_are_the_data_sheets() -> None:
    energy = dram_energy("DDR4_3200")
    assert (energy.activate_pj, energy.refresh_pj) == (4233.6, 670600)
    assert (energy.standby_mw, energy.precharged_mw) == (499.2, 355.2)


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


@pytest.mark.parametrize("preset", load_presets())
def test_every_preset_has_energies_for_its_burst(preset: str) -> None:
    energy = dram_energy(preset)
    assert 0 < energy.precharged_mw <= energy.standby_mw
    bits = 8 * load_presets()[preset].access_bytes
    assert 1 < energy.read_burst_pj / bits < 40  # up to Horowitz's 20 to 40 pJ/bit of an older generation


@pytest.mark.parametrize(("preset", "rows"), [("LPDDR5_6400", 128), ("GDDR6", 16)])
def test_a_refresh_that_no_source_tells_is_its_rows_activated(preset: str, rows: int) -> None:
    """In 32 ms every row of every bank is refreshed once, one REF a nREFI."""
    device = load_presets()[preset]
    refreshes = 32e9 / (device.timing_cycles["nREFI"] * device.tck_ps)
    assert device.rows * device.bank_groups * device.banks_per_group / refreshes == pytest.approx(rows, rel=0.05)
    assert dram_energy(preset).refresh_pj == rows * dram_energy(preset).activate_pj


def test_both_speeds_of_ddr4_take_the_same_currents() -> None:
    assert dram_energy("DDR4_2400").standby_mw == dram_energy("DDR4_3200").standby_mw
    assert all("at 2400" in source for source in dram_energy("DDR4_2400").sources if source.startswith("activate"))
