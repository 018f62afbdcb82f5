"""Draw a run as one SVG: who waited for what, what dense hardware takes, where the energy goes, what the masks catch.

dsasim run --json run.json
python examples/plot_run.py run.json run.svg
"""

import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

OWNERS = {  # of a cycle: the printed word, and its colour in Okabe and Ito's palette for colour-blind readers
    "busy": ("busy", "#0072b2"),
    "bank_conflict": ("bank conflicts", "#cc79a7"),
    "imbalance": ("other lanes", "#f0e442"),
    "dram": ("DRAM", "#d55e00"),
    "operand": ("operand", "#e69f00"),
    "output_full": ("output full", "#56b4e9"),
    "dependency": ("next layer", "#8c8c8c"),
    "drained": ("no work left", "#d0d0d0"),
}
OURS, OTHERS = "#0072b2", "#8c8c8c"
UNITS = ("predictor", "mask_generator", "scheduler", "pe_array", "softmax")
ENGINES = ("dma_predictor", "dma_q", "dma_k", "dma_v", "dma_output", "dram")
WIDTH, HEIGHT = 900, 590


def text(x: float, y: float, words: str, size: int = 14, anchor: str = "start", weight: str = "normal") -> str:
    """One line of text."""
    style = f'font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def bar(x: float, y: float, width: float, colour: str, title: str, height: float = 18) -> str:
    """A rectangle that says what it is when pointed at."""
    box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}">'
    return f"{box}<title>{escape(title)}</title></rect>"


def time_of_units(run: dict, left: float, top: float, width: float) -> Iterator[str]:
    """A stacked bar a unit: busy, then every stall reason, in per cent of the run."""
    yield text(20, top - 70, "Where each unit's cycles go", 16, weight="bold")
    for at, (word, colour) in enumerate(OWNERS.values()):
        x, y = 20 + at % 4 * 122, top - 54 + at // 4 * 21
        yield bar(x, y, 13, colour, word, 13) + text(x + 18, y + 11, word, 13)
    for row, name in enumerate(UNITS + ENGINES):
        y = top + row * 34 + (10 if name in ENGINES else 0)
        unit = run["units"][name]
        total, x = unit["instances"] * run["cycles"], left
        yield text(left - 8, y + 14, name, anchor="end")
        for owner, (word, colour) in OWNERS.items():
            cycles = unit["busy_cycles"] if owner == "busy" else unit["stall_cycles"][owner]
            if cycles:
                yield bar(x, y, width * cycles / total, colour, f"{name}, {word}: {100 * cycles / total:.1f} %")
                x += width * cycles / total
    bottom = top + 34 * len(UNITS + ENGINES) + 20
    for tick in range(0, 101, 25):
        yield text(left + width * tick / 100, bottom, f"{tick} %", 13, "middle")
    yield text(left + width / 2, bottom + 20, "of all cycles", 13, "middle")


def bars(title: str, values: dict[str, float], ours: set[str], form: str, top: float) -> Iterator[str]:
    """Plain bars with their values written as `form` says."""
    left, width = 690, 115
    yield text(540, top - 14, title, 16, weight="bold")
    for row, (name, value) in enumerate(values.items()):
        y, length = top + row * 25, width * value / max(values.values())
        yield text(left - 8, y + 13, name, anchor="end")
        yield bar(left, y, length, OURS if name in ours else OTHERS, f"{name}: {value:.4g}", 17)
        yield text(left + length + 6, y + 13, form.format(value), 13)


def parts_of_energy(energy_pj: dict[str, float], most: int) -> dict[str, float]:
    """Energy in microjoules of the `most` largest components, then of all others together."""
    parts = sorted(((pj / 1e6, name) for name, pj in energy_pj.items() if name != "total"), reverse=True)
    named = {name: energy for energy, name in parts[:most]}
    return named | {"all others": sum(energy for energy, _ in parts[most:])}


def picture(run: dict) -> str:
    """The whole SVG."""
    baseline, quality = run["baseline"], run["quality"]
    cycles = {"dense, same MACs": baseline["dense_cycles"]}
    if baseline["iso_area"]:
        cycles["dense, same area"] = baseline["iso_area"]["cycles"]
    cycles["this design"] = run["cycles"]
    energy = parts_of_energy(run["energy_pj"], 7)
    title = f"{run['arch']['name']} on {run['trace']['name']}: {run['cycles']:,} cycles"
    body = [text(20, 36, title, 20, weight="bold"), *time_of_units(run, 140, 146, 350)]
    body += bars("Cycles", cycles, {"this design"}, "{:,.0f}", 90)
    body += bars(f"Energy: {run['energy_pj']['total'] / 1e6:,.0f} µJ", energy, set(energy), "{:,.0f} µJ", 214)
    if quality is not None:
        mass = {"this design": quality["captured_mass_ratio"]}
        others = {"oracle": "oracle", "sink + window": "sink_window", "random": "random"}
        mass |= {word: quality[name]["captured_mass_ratio"] for word, name in others.items()}
        body += bars("Softmax mass on kept keys", mass, {"this design"}, "{:.2f}", 464)
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>'
    font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="#1f2328"'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>'
    return "\n".join([head, f"<title>{escape(title)}</title>", frame, *body, "</svg>"]) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, target = map(Path, sys.argv[1:])
    target.write_text(picture(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
