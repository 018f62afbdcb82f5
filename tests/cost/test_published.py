"""Sanity against published silicon, with figures seen in the papers' abstracts only, in wide bands."""

from collections.abc import Callable

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import pe_array, softmax_unit

MakeArch = Callable[..., ArchConfig]


def test_an_8_bit_pe_is_within_a_factor_of_four_of_ita(make_arch: MakeArch) -> None:
    """ITA (ISLPED 2023, arXiv 2307.03493): 16.9 TOPS/W at 8 bits in 22FDX, 0.8 V: 2 / 16.9 = 0.118 pJ a MAC, all in.

    Ours, at 22 nm: 3 x (0.2 + 0.075) x 0.2828 = 0.233 pJ a MAC for the PE alone, about twice.
    """
    pe = pe_array.silicon(make_arch(technology_nm=22, **{"pe_array.bits": 8}))
    ours_pj, published_pj = pe.energy_pj["macs_sddmm"], 2 / 16.9
    assert published_pj / 4 < ours_pj < published_pj * 4


def test_a_softmax_operation_is_below_the_published_bound(make_arch: MakeArch) -> None:
    """Spagnolo et al. 2022: an approximate softmax in 28 nm FD-SOI below 1 pJ an operation; ours within four times."""
    softmax = softmax_unit.silicon(make_arch(technology_nm=28))
    assert sum(softmax.energy_pj.values()) < 4.0
