"""A run in large print, and what must be known before its figures are trusted."""

from collections.abc import Iterator

from dsasim.report.figures import Result, macs_used, products_unit
from dsasim.report.headline import GAP, headline
from dsasim.report.html.parts import Card
from dsasim.report.style import percent, where_known

ERROR_NOTE = (
    "Energy and area are counts times tables (CACTI, published operation energies, node scaling good to about ±25 %): "
    "they rank designs, they are not a sign-off."
)
KINDS = {
    "real": "The masks come from a real model's tensors.",
    "synthetic": "The trace is synthetic: made by a rule, not computed by a model.",
    "mask": "The trace holds masks alone: nothing is known of what they do to the result.",
}

CARD_NAMES = {"at equal area": "speed-up at equal area", "": "speed-up of attention"}
"""Names of headline lines that stand below another on a terminal, where they stand alone."""


def cards(result: Result) -> Iterator[Card]:
    """Yield the headline a card a figure, then the area and how much of the array was used."""
    for line in headline(result):
        if line.text:
            yield Card(CARD_NAMES.get(line.name, line.name), line.text, line.words.replace(GAP, ", "))
    area = f"{result['area_mm2']['total']:.3f} mm²"
    yield Card("area", area, f"at {result['arch']['technology_nm']} nm, DRAM apart")
    array = products_unit(result)
    if used := where_known(percent, macs_used(result["units"][array])):
        words = "the PE array" if array == "pe_array" else array
        yield Card("MACs used", used, f"useful MACs of those {words} could do")


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
