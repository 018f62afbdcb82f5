"""A run in large print, and what must be known before its figures are trusted."""

from collections.abc import Iterator, Mapping
from typing import Any

from dsasim.report.html.parts import Card
from dsasim.report.style import energy_text, percent, time_text, times

Result = Mapping[str, Any]

ERROR_NOTE = (
    "Energy and area are counts times tables (CACTI, published operation energies, node scaling good to about ±25 %): "
    "they rank designs, they are not a sign-off."
)
KINDS = {
    "real": "The masks come from a real model's tensors.",
    "synthetic": "The trace is synthetic: made by a rule, not computed by a model.",
    "mask": "The trace holds masks alone: nothing is known of what they do to the result.",
}


def headline(result: Result) -> Iterator[Card]:
    """Yield the figures that answer what the design costs, what it saves, and what it does to the result."""
    bound = "at most " if result["predictor_free"] else ""
    clock = f"{time_text(result['time_ns'])} at {result['arch']['clock_ghz']:g} GHz"
    yield Card("cycles", f"{result['cycles']:,}", clock)
    baseline = result["baseline"]
    if baseline is not None:
        yield from _speedups(baseline, bound)
    dense = "" if baseline is None else f"dense takes {bound}{times(baseline['energy_vs_dense_ratio'])} as much"
    yield Card("energy", energy_text(result["energy_pj"]["total"]), dense)
    yield Card("area", f"{result['area_mm2']['total']:.3g} mm²", f"at {result['arch']['technology_nm']} nm, DRAM apart")
    array = result["units"]["pe_array"]
    yield Card("MACs used", percent(array["utilisation_ratio"]), "useful MACs of those the PE array could do")
    yield Card("density", percent(density(result)), "of the allowed positions are kept")
    if result["quality"] is not None:
        yield from _quality(result["quality"])


def trust(result: Result) -> Iterator[str]:
    """Yield sentences on how far the figures go."""
    trace = result["trace"]
    yield f"{KINDS.get(trace['kind'], trace['kind'])} Trace {trace['name']}, model {trace['model'] or 'unnamed'}."
    held = sum(result["invariants"].values())
    yield f"{held} of {len(result['invariants'])} conservation laws and bounds were checked in this run and held."
    yield ERROR_NOTE
    if result["scope"] == "attention":
        yield "Attention alone was run: projections and feed-forward parts are not in these figures (--scope layer)."


def warnings(result: Result) -> Iterator[str]:
    """Yield what must stand beside every figure of the run."""
    yield from result.get("notes", ())
    if result["predictor_free"]:
        yield "Prediction is free of charge in this run: speed-ups and energy ratios are upper bounds."
    for law, held in result["invariants"].items():
        if not held:
            yield f"The law {law} does not hold in this result: do not trust it."


def density(result: Result) -> float:
    """Return kept / allowed positions over all heads; a head's allowed positions are its nnz / density."""
    heads = [head for layer in result["layers"] for head in layer["heads"] if head["density"] > 0]
    allowed = sum(head["nnz"] / head["density"] for head in heads)
    return float(sum(head["nnz"] for head in heads) / allowed) if allowed else 0.0


def _speedups(baseline: Result, bound: str) -> Iterator[Card]:
    against = f"against dense, same MACs, {baseline['dense_cycles']:,} cycles"
    yield Card("speed-up", bound + times(baseline["speedup_vs_dense"]), against)
    if baseline["iso_area"] is not None:
        lanes = f"against dense with {baseline['iso_area']['lanes']} lanes in our area"
        yield Card("speed-up at equal area", bound + times(baseline["iso_area"]["speedup_ratio"]), lanes)


def _quality(quality: Result) -> Iterator[Card]:
    for words, name in (
        ("captured mass", "captured_mass_ratio"),
        ("mask recall", "mask_recall_ratio"),
        ("output error", "output_rel_l2"),
    ):
        oracle = quality["oracle"][name]
        yield Card(
            words, f"{quality[name]:.3f}", f"oracle {oracle:.3f}, sink + window {quality['sink_window'][name]:.3f}"
        )
