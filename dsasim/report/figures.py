"""Every figure of a run that is worked out for a person, each by one function of the result document.

The document is what `RunResult.to_json` gives and `dsasim run --json` writes. Terminal, page and comparison only choose
and lay out what stands there or here: none of them divides two numbers itself. A figure that does not exist is None.
"""

from collections.abc import Mapping
from typing import Any

from dsasim.baseline.peak import Peak
from dsasim.config.schemas import design_from
from dsasim.machine.spec import Rate
from dsasim.sim import engine
from dsasim.sim.engine import design_of
from dsasim.trace.schema import layer_label

Result = Mapping[str, Any]
"""A result document, or a part of one."""

BUSY = "busy"

QUALITY = {
    "captured mass": "captured_mass_ratio",  # beside masks that keep as many keys in each row
    "mask recall": "mask_recall_ratio",
    "output error": "output_rel_l2",
}
"""Figures of quality: words, and name in the document."""

OTHER_MASKS = {"oracle": "oracle", "random": "random", "sink + window": "sink_window"}
"""Masks that quality is compared with: words, and name in the document."""

GPU_RATIOS = {
    "speed-up": "speedup_ratio",
    "for its peak": "peak_normalised_ratio",
    "for its GB/s": "bandwidth_normalised_ratio",
}
"""A GPU's time over ours, as it is and for the same peak or bandwidth: words, and name in the document."""


def layer_name(layer: Result) -> str:
    """What follows the word layer: `3`, or `3 sequence 1` of one of several sequences."""
    return layer_label(layer["layer"], layer.get("sequence"))


def num_sequences(result: Result) -> int:
    """Sequences of the trace, each of which was run."""
    return len({layer.get("sequence") for layer in result["layers"]})


def share(part: float, whole: float) -> float | None:
    """A part of a whole, or anything per something; None where there is none of the whole."""
    return part / whole if whole else None


def allowed_positions(layer: Result) -> int | None:
    """Allowed positions of one head of a layer: nnz / density of one that keeps a key, or what the layer says.

    All heads of a layer have as many. None in results of dsasim 0.1 of a layer of which no head keeps a key.
    """
    kept = next((head for head in layer["heads"] if head["nnz"] and head["density"]), None)
    return layer.get("allowed") if kept is None else round(kept["nnz"] / kept["density"])


def density(result: Result) -> float | None:
    """Kept / allowed positions over all heads, those that keep nothing too.

    Worked example: heads of 100 allowed positions that keep 10, 30 and 0: 40 / 300.
    """
    if result["quality"] is not None:
        return float(result["quality"]["density"])
    allowed = [(allowed_positions(layer), len(layer["heads"])) for layer in result["layers"]]
    known = [each * heads for each, heads in allowed if each is not None]
    return share(kept_positions(result), sum(known)) if len(known) == len(allowed) else None


def kept_positions(result: Result) -> int:
    """Kept positions of all heads."""
    return sum(head_sum(layer, "nnz") for layer in result["layers"])


def head_sum(layer: Result, name: str) -> int:
    """What the heads of a layer have of `nnz`, `k_loads`, `plan_steps` or `cycles`, together."""
    return sum(int(head[name]) for head in layer["heads"])


def reuse(nnz: int, k_loads: int) -> float | None:
    """Kept positions a key load: 1 would be each row served alone."""
    return share(nnz, k_loads)


def attention_cycles(result: Result) -> int:
    """Cycles of all heads; the rest are dense products."""
    return sum(head_sum(layer, "cycles") for layer in result["layers"])


def attention_speedup(result: Result) -> float | None:
    """What attention alone gains over dense: Amdahl's law begins here."""
    return share(result["baseline"]["dense_attention_cycles"], attention_cycles(result))


def attention_share(result: Result) -> float:
    """Attention's part of this run's cycles."""
    return attention_cycles(result) / float(result["cycles"])


def dense_attention_share(result: Result) -> float | None:
    """Attention's part of the cycles of the dense machine."""
    return share(result["baseline"]["dense_attention_cycles"], result["baseline"]["dense_cycles"])


def owned_cycles(unit: Result, owner: str) -> int:
    """Cycles that a unit worked (BUSY), or waited for one reason."""
    return int(unit["busy_cycles"] if owner == BUSY else unit["stall_cycles"].get(owner, 0))


def unit_share(unit: Result, owner: str) -> float | None:
    """The part of a unit's time that it worked (BUSY), or waited for one reason."""
    return share(owned_cycles(unit, owner), unit["busy_cycles"] + sum(unit["stall_cycles"].values()))


def rates(result: Result) -> dict[str, Rate]:
    """What the units of the design could do in a cycle, of those that say so."""
    units = design_of(design_from(result["arch"])).units()
    return {unit.name: unit.rate for unit in units if unit.rate is not None}


def products_unit(result: Result) -> str:
    """The unit that does attention's products."""
    return engine.products_unit(design_of(design_from(result["arch"])))


def macs_used(unit: Result) -> float | None:
    """Useful MACs of those offered, of a unit that has a rate, where it worked."""
    return unit["utilisation_ratio"] if unit["busy_cycles"] else None


def top_stall(unit: Result) -> str | None:
    """The reason with the most cycles (ties: the first by name), or None if the unit never waited."""
    waited = {reason: cycles for reason, cycles in unit["stall_cycles"].items() if cycles}
    return min(waited, key=lambda reason: (-waited[reason], reason), default=None)


def cost_share(costs: Mapping[str, float], name: str) -> float | None:
    """A component's part of all energy or area; None where it has none."""
    return share(costs[name], costs["total"]) if costs.get(name) else None


def gain(first: float, other: float) -> float:
    """How many times less the other takes than the first: of time a speed-up, of energy a saving."""
    return first / other


def launch_share(gpu: Result) -> float:
    """The part of a GPU's time that kernel launches take."""
    return float(gpu["launch_ns"] / gpu["time_ns"])


def gpu_basis(basis: str, assumed: bool, same_shape: bool) -> str:
    """What a GPU's time rests on, the weakest of it: assumed figures, figures of another shape, or its basis."""
    if assumed:
        return "assumed"
    return basis if same_shape else {"roofline": "other shape", "measured": "extrapolated"}[basis]


def peak_text(peak: Peak) -> str:
    """What the normalised ratios divide by: which MACs count, each as how much of one of the PE array."""
    own = f"{peak.array_macs:,} MACs of {peak.array_bits} bits"
    if peak.predictor_macs and peak.predictor_bits is not None:
        worth = (peak.array_bits / peak.predictor_bits) ** 2
        own += f" and {peak.predictor_macs:,} of {peak.predictor_bits} for the prediction, {worth:g} to one"
    return f"our peak: {own}: {peak.tflops:.3g} TFLOP/s; our DRAM: {peak.memory_gbps:.3g} GB/s"


def components(*costs: Mapping[str, float]) -> list[str]:
    """The components that any of several tables of costs names, in their order, the total left out."""
    return list(dict.fromkeys(name for table in costs for name in table if name != "total"))
