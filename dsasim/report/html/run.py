"""The page of one run."""

from collections.abc import Iterator, Sequence

from dsasim.baseline.peak import Peak
from dsasim.config.resolved import arch_to_yaml
from dsasim.config.schemas import design_from
from dsasim.inputs.printable import printable
from dsasim.report.figures import Result, num_sequences, peak_text, products_unit
from dsasim.report.headline import MAPPING_WORDS
from dsasim.report.html.beside import baseline_cycles, gpu_table, layer_cycles, quality_figure
from dsasim.report.html.costs import area_figure, cost_table, energy_figure
from dsasim.report.html.heads import MEASURES, head_map
from dsasim.report.html.masks import MaskPicture, mask_figure
from dsasim.report.html.page import Page
from dsasim.report.html.parts import Cards, Chart, Choice, Folded, Heading, Notes, PagePart, PageSection
from dsasim.report.html.roofline import roofline
from dsasim.report.html.summary import cards, trust, warnings
from dsasim.report.html.units import busy_over_time, owners_over_time, shown_units, unit_cycles
from dsasim.report.title import run_title, selection_words
from dsasim.sim.over_time import OverTime

NOT_SEEN = "A result holds totals only: `dsasim run --report F.html` looks on while it runs and shows this over time."

TOGETHER = "Dense products are of all sequences together: they stand with the first."

GPU_NOTE = (
    "Ratios are the GPU's time over ours: above 1 the design is faster. A raw ratio compares sizes; a normalised one "
    "is for as many of the design as reach the GPU's peak or bandwidth. Basis roofline: published efficiencies, and "
    "launches whose time is assumed; measured: a profile. Same shape false: the efficiency is of another length, head "
    "size or mask. Assumed true: it, a peak or a bandwidth is from memory or of another GPU."
)


def _peak_notes(baseline: Result) -> list[str]:
    """What the normalised ratios divide by; results of older versions do not say."""
    return [peak_text(Peak(**baseline["peak"]))] if "peak" in baseline else []


def run_page(result: Result, over_time: OverTime | None = None, masks: Sequence[MaskPicture] = ()) -> Page:
    """Return the page of a result; what was seen of the run while it ran adds its figures over time."""
    return Page(
        run_title(result),
        [
            PageSection("Summary", _heads_words(result), list(_summary(result))),
            *_beside(result),
            _time(result, over_time),
            _costs(result),
            _roofline(result, over_time),
            _heads(result),
            *_masks(masks),
            _design(result),
        ],
    )


def _heads_words(result: Result) -> str:
    words = selection_words(result)
    return f"{words[0].upper()}{words[1:]}; dsasim {result['dsasim_version']}."


def _summary(result: Result) -> Iterator[PagePart]:
    yield Notes(list(warnings(result)), warning=True)
    yield Cards(list(cards(result)))
    yield Heading("How far to trust it")
    yield Notes(list(trust(result)))


def _beside(result: Result) -> Iterator[PageSection]:
    baseline, quality = result["baseline"], result["quality"]
    if baseline is not None:
        parts: list[PagePart] = [Chart("baselines", baseline_cycles(result))]
        if baseline["gpu"]:
            parts += [Heading("GPUs"), Notes([GPU_NOTE, *_peak_notes(baseline)]), gpu_table(baseline["gpu"])]
        words = (
            "Dense machines keep every allowed position and do without predictor, mask generator and scheduler; "
            f"with the same MACs the faster dataflow is {MAPPING_WORDS[baseline['dense_mapping']]}."
        )
        yield PageSection("Against other machines", words, parts)
    if quality is not None:
        words = (
            "Other masks keep as many keys in every row. Captured mass and recall: 1 is best; output error: 0 is best."
        )
        yield PageSection("What the masks do to the result", words, [Chart("quality", quality_figure(quality))])


def _time(result: Result, over_time: OverTime | None) -> PageSection:
    words = (
        "Every cycle of every unit has one owner: it is busy, or stalled for one reason. The PE array sums its lanes."
    )
    parts: list[PagePart] = [Chart("unit-cycles", unit_cycles(result))]
    if any(layer.get("dense_cycles", {}) for layer in result["layers"]):
        together = [Notes([TOGETHER])] * (num_sequences(result) > 1)
        heading = Heading("Attention and the dense products around it")
        parts += [heading, *together, Chart("layers", layer_cycles(result))]
    parts.append(Heading("Over time"))
    if over_time is None:
        return PageSection("Where the cycles went", words, [*parts, Notes([NOT_SEEN])])
    names = shown_units(result)
    array_first = sorted(names, key=lambda name: name != products_unit(result))
    charts = [Chart(f"over-time-{name}", owners_over_time(over_time, name), name) for name in array_first]
    parts += [Chart("busy-over-time", busy_over_time(over_time, names)), Choice("Stalls over time of", charts)]
    return PageSection("Where the cycles went", words, parts)


def _costs(result: Result) -> PageSection:
    energy, area = result["energy_pj"], result["area_mm2"]
    parts: list[PagePart] = [
        Chart("energy", energy_figure(energy)),
        Heading("Area"),
        Chart("area", area_figure(area)),
        cost_table(energy, area),
    ]
    if sources := result.get("cost_sources"):
        text = "\n".join(printable(f"{name}: {source}") for name, source in sources.items())
        parts.append(Folded("where the costs come from", text))
    return PageSection(
        "Where the joules went", "Counts of what was done, times the cost of each; names in wide bars.", parts
    )


def _roofline(result: Result, over_time: OverTime | None) -> PageSection:
    words = (
        "Useful MACs are those of SDDMM, SpMM and dense products; bytes are all that DRAM moved, prediction included. "
        "What a layer's heads fetch together (K, V, X, weights) is shared out equally."
    )
    parts: list[PagePart] = [Chart("roofline", roofline(result, over_time))]
    if over_time is None:
        parts.append(
            Notes(["Points of layers and heads need the bytes of each transfer: `dsasim run --report F.html`."])
        )
    return PageSection("Roofline", words, parts)


def _heads(result: Result) -> PageSection:
    words = (
        "Cycles of a head run from the end of the head before it, so a layer's first head has the layer's start in it."
    )
    charts = [Chart(f"heads-{measure}", head_map(result, measure), measure) for measure in MEASURES]
    return PageSection("Layer by head", words, [Choice("Show", charts)])


def _masks(masks: Sequence[MaskPicture]) -> Iterator[PageSection]:
    if masks:
        names = [(m, f"layer {m.layer} head {m.head}") for m in masks]
        charts = [Chart(f"mask-{m.layer}-{m.head}".replace(" ", "-"), mask_figure(m), name) for m, name in names]
        words = f"Kept positions in cells of {masks[0].cell} by {masks[0].cell}; blank where nothing is allowed."
        yield PageSection("Masks", words, [Choice("Head", charts)])


def _design(result: Result) -> PageSection:
    yaml = arch_to_yaml(design_from(result["arch"]))
    counters = "\n".join(printable(f"{name}: {count:,}") for name, count in result["counters"].items())
    return PageSection("The design", "", [Folded("YAML", yaml), Folded("counters", counters)])
