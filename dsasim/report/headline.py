"""The answer of a run, line by line: what terminal and page print in large, of the same words and figures."""

from collections.abc import Iterator
from typing import NamedTuple

from dsasim.config.schemas import design_from
from dsasim.report.figures import (
    OTHER_MASKS,
    QUALITY,
    Result,
    attention_share,
    attention_speedup,
    dense_attention_share,
    density,
)
from dsasim.report.style import energy_text, percent, time_text, times
from dsasim.sim.engine import design_of

MAPPING_WORDS = {"token_parallel": "token-parallel", "systolic": "systolic"}

GAP = "   "
"""Between several remarks on one figure."""


class HeadlineRow(NamedTuple):
    """One figure: what it is (empty: more of what stands above), its text (empty: there is none), and a remark."""

    name: str
    text: str
    words: str


def headline(result: Result) -> Iterator[HeadlineRow]:
    """Yield what a design takes, what it saves, and what it does to the result, of a result document.

    A free prediction makes every ratio an upper bound, and it is printed as one.
    """
    bound = "at most " if result["predictor_free"] else ""
    baseline = result["baseline"]
    clock_ghz = float(result["arch"]["clock_ghz"])
    yield HeadlineRow("cycles", f"{result['cycles']:,}", f"{time_text(result['time_ns'])} at {clock_ghz:g} GHz")
    if baseline is not None:
        yield _speedup(result, bound)
        yield from _equal_area(result, bound)
        if result["scope"] != "attention":
            yield from _attention(result, bound)
    ratio = "" if baseline is None else f"dense takes {bound}{times(baseline['energy_vs_dense_ratio'])} as much"
    yield HeadlineRow("energy", energy_text(result["energy_pj"]["total"]), ratio)
    if bound:
        yield HeadlineRow("", "", "upper bounds: prediction is free of charge in this run")
    if (kept := density(result)) is not None:
        yield HeadlineRow("density", percent(kept), "of the allowed positions are kept")
    if result["quality"] is not None:
        yield from _quality(result["quality"])


def _speedup(result: Result, bound: str) -> HeadlineRow:
    baseline = result["baseline"]
    macs = design_of(design_from(result["arch"])).macs().array
    mapping = MAPPING_WORDS[baseline["dense_mapping"]]
    text = f"against dense, same {macs} MACs ({mapping}, {baseline['dense_cycles']:,} cycles)"
    return HeadlineRow("speed-up", bound + times(baseline["speedup_vs_dense"]), text)


def _equal_area(result: Result, bound: str) -> Iterator[HeadlineRow]:
    """The dense machine of the design's area, or why there is none; a dense design has itself."""
    from dsasim.baseline.dense import iso_area_obstacle
    from dsasim.cost.model import Cost

    iso_area = result["baseline"]["iso_area"]
    if iso_area is not None:
        words = f"against dense with {iso_area['lanes']} lanes in our area"
        yield HeadlineRow("at equal area", bound + times(iso_area["speedup_ratio"]), words)
    elif result["arch"].get("predictor", {}).get("method") != "dense":
        cost = Cost(result["energy_pj"], result["area_mm2"], {})
        obstacle = iso_area_obstacle(design_from(result["arch"]), cost)
        yield HeadlineRow("at equal area", "", f"no other dense machine: {obstacle}")


def _attention(result: Result, bound: str) -> Iterator[HeadlineRow]:
    """Amdahl's law: what attention alone gains, and how little of the time it is."""
    speedup, dense = attention_speedup(result), dense_attention_share(result)
    if speedup is not None and dense is not None:
        of_ours = f"{percent(attention_share(result))} of this run's cycles"
        yield HeadlineRow("", bound + times(speedup), f"for attention alone, {of_ours}, {percent(dense)} of dense's")


def _quality(quality: Result) -> Iterator[HeadlineRow]:
    for words, name in QUALITY.items():
        others = (f"{label} {quality[mask][name]:.3f}" for label, mask in OTHER_MASKS.items())
        yield HeadlineRow(words, f"{quality[name]:.3f}", GAP.join(others))
