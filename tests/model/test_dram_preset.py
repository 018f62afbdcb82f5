"""What a preset and the core clock make of each other."""

from collections.abc import Callable
from fractions import Fraction

from dsasim.config.schema import ArchConfig
from dsasim.model.dram_preset import core_cycles_per_memory_cycle, peak_bytes_per_cycle


def test_cycles_and_peak_by_hand(make_arch: Callable[..., ArchConfig]) -> None:
    """DDR4-3200 has 625 ps a memory cycle and moves 64 bytes in nBL = 4 of them."""
    ddr4 = ("dram.preset=DDR4_3200", "dram.channels=1")
    assert core_cycles_per_memory_cycle(make_arch(*ddr4, "clock_ghz=1.6")) == 1
    assert core_cycles_per_memory_cycle(make_arch(*ddr4, "clock_ghz=0.8")) == Fraction(1, 2)
    assert peak_bytes_per_cycle(make_arch(*ddr4, "clock_ghz=1.6")) == 16
    assert peak_bytes_per_cycle(make_arch(*ddr4, "clock_ghz=0.8", "dram.channels=2")) == 64
