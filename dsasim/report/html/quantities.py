"""How the metrics of a sweep are written: words, unit, and how many of a metric's units one of these is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A metric as it is shown."""

    words: str
    unit: str
    size: float = 1.0


QUANTITIES: Mapping[str, Quantity] = {
    "cycles": Quantity("time", "cycles"),
    "time_ns": Quantity("time", "µs", 1e3),
    "energy_pj": Quantity("energy", "µJ", 1e6),
    "area_mm2": Quantity("area", "mm²"),
    "edp": Quantity("energy x time", "µJ·µs", 1e9),
    "captured_mass_ratio": Quantity("captured mass", "ratio"),
    "mask_recall_ratio": Quantity("mask recall", "ratio"),
    "output_rel_l2": Quantity("output error", "ratio"),
    "speedup_vs_dense": Quantity("speed-up", "dense / ours"),
    "energy_vs_dense_ratio": Quantity("energy", "dense / ours"),
    "utilisation_ratio": Quantity("MACs used", "ratio"),
}

UNIT_ENDINGS = ("bytes", "cycles")


def quantity(metric: str) -> Quantity:
    """Return how a metric is shown; a counter by its name and the unit it ends in, `count` if in none."""
    if metric in QUANTITIES:
        return QUANTITIES[metric]
    name = metric.removeprefix("counters.")
    unit = next((ending for ending in UNIT_ENDINGS if name.endswith(f"_{ending}")), "count")
    return Quantity(name.removesuffix(f"_{unit}").replace("_", " "), unit)
