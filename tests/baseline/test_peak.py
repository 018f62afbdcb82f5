"""Peaks of designs, by hand."""

import pytest

from dsasim.baseline.peak import peak_of
from dsasim.config.loader import load_arch
from dsasim.report.figures import peak_text


def test_the_predictor_s_macs_count_by_their_width() -> None:
    """256 of 16 bits and 64 x 72 of 4 bits, each 1/16: 544 at 1 GHz; two DDR4-3200 channels."""
    peak = peak_of(load_arch("dsa-decoupled"))
    assert (peak.array_macs, peak.predictor_macs, peak.predictor_bits) == (256, 4608, 4)
    assert peak.tflops == pytest.approx(1.088)
    assert peak.memory_gbps == pytest.approx(51.2)
    assert peak_text(peak) == (
        "our peak: 256 MACs of 16 bits and 4,608 of 4 for the prediction, 16 to one: 1.09 TFLOP/s; our DRAM: 51.2 GB/s"
    )


@pytest.mark.parametrize(("bits", "counted"), [(8, 256 + 4608 / 4), (2, 256 + 4608 / 64)])
def test_wider_predictors_count_more(bits: int, counted: float) -> None:
    assert peak_of(load_arch("dsa-decoupled", (f"predictor.bits={bits}",))).tflops == pytest.approx(2e-3 * counted)


@pytest.mark.parametrize(
    "design",
    [
        ("dsa-coupled", ()),
        ("dsa-coupled", ("predictor.array_rows=64", "predictor.array_columns=72")),
        ("dense-16x16", ()),
        ("dsa-decoupled", ("predictor.method=oracle_topk",)),
    ],
)
def test_without_a_predictor_of_its_own_the_array_is_all(design: tuple) -> None:
    """A coupled design predicts on its array, whatever array it names; others predict nothing."""
    arch = load_arch(*design)
    peak = peak_of(arch)
    assert (peak.predictor_macs, peak.predictor_bits) == (0, None)
    assert peak.tflops == pytest.approx(2e-3 * arch.macs * float(arch.clock_ghz))
