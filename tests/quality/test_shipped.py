"""What the default predictor reaches on the shipped traces: text that its weights were not fitted on."""

import pytest

from dsasim.config.loader import load_arch
from dsasim.prediction import load_predictor
from dsasim.quality import Quality, QualityMeter
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace


def measure(trace_name: str, layers: tuple[int, ...], *overrides: str) -> list[Quality]:
    """Quality of each layer at sigma 0.25, 4 bits, density 0.1, or as the overrides say."""
    trace, results = open_trace(find_trace(trace_name)), []
    for number in layers:
        layer, meter = trace.layer(number), QualityMeter()
        predictor = load_predictor(load_arch("dsa-decoupled", overrides), layer)
        for head in range(layer.num_heads):
            meter.add(layer, head, predictor.select(head).keep)
        results.append(meter.result())
    return results


def test_minilm_reaches_the_designs_recall() -> None:
    # another split of M than that of `train.closed_form` gave .41 / .48 / .57 at layers 0 / 2 / 5; chance is .10.
    found = [quality.ours.mask_recall_ratio for quality in measure("minilm-l128", (0, 2, 5))]
    assert all(ratio >= known for ratio, known in zip(found, (0.43, 0.51, 0.61), strict=True))


def test_smollm2_captures_more_than_a_sink_and_a_window() -> None:
    for quality in measure("smollm2-l512", (4, 13, 24)):
        assert quality.ours.captured_mass_ratio > quality.sink_window.captured_mass_ratio
        assert quality.ours.captured_mass_ratio > 0.88 * quality.oracle.captured_mass_ratio
        assert quality.ours.output_rel_l2 < quality.sink_window.output_rel_l2 < quality.random.output_rel_l2


@pytest.mark.parametrize("trace_name", ["minilm-l128", "smollm2-l512"])
def test_more_columns_and_more_bits_find_more(trace_name: str) -> None:
    layer = {"minilm-l128": 2, "smollm2-l512": 4}[trace_name]
    steps = [("0.1", 4), ("0.25", 4), ("0.5", 4), ("0.5", 8)]
    found = [
        measure(trace_name, (layer,), f"predictor.sigma={sigma}", f"predictor.bits={bits}")[0].ours.mask_recall_ratio
        for sigma, bits in steps
    ]
    assert found == sorted(found)
    assert measure(trace_name, (layer,), "predictor.bits=2")[0].ours.mask_recall_ratio < found[1]
