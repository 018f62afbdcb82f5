"""Draw a run as one SVG: who waited for what, what dense hardware takes, where the energy goes, what the masks catch.

dsasim run --json run.json
python examples/plot_run.py run.json run.svg
"""

import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

COLOURS = {
    "busy": "#0072b2",
    "bank_conflict": "#cc79a7",
    "imbalance": "#f0e442",
    "dram": "#d55e00",
    "operand": "#e69f00",
    "output_full": "#56b4e9",
    "dependency": "#8c8c8c",
    "drained": "#dcdcdc",
}
UNITS = ("predictor", "mask_generator", "scheduler", "pe_array", "softmax")
ENGINES = ("dma_predictor", "dma_q", "dma_k", "dma_v", "dma_output", "dram")
WIDTH, HEIGHT = 1000, 552


def text(x: float, y: float, words: str, size: int = 13, anchor: str = "start", weight: str = "normal") -> str:
    """One line of text."""
    style = f'font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def bar(x: float, y: float, width: float, colour: str, title: str, height: float = 18) -> str:
    """A rectangle that says what it is when pointed at."""
    box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}">'
    return f"{box}<title>{escape(title)}</title></rect>"


def time_of_units(run: dict, left: float, top: float, width: float) -> Iterator[str]:
    """A stacked bar a unit: busy, then every stall reason, in per cent of the run."""
    yield text(20, top - 64, "Where each unit's cycles go", 15, weight="bold")
    for at, owner in enumerate(COLOURS):
        x, y = 20 + at % 4 * 125, top - 50 + at // 4 * 19
        yield bar(x, y, 12, COLOURS[owner], owner, 12) + text(x + 17, y + 11, owner.replace("_", " "), 12)
    for row, name in enumerate(UNITS + ENGINES):
        y = top + row * 31 + (8 if name in ENGINES else 0)
        unit = run["units"][name]
        total, x = unit["instances"] * run["cycles"], left
        yield text(left - 8, y + 14, name, anchor="end")
        for owner, colour in COLOURS.items():
            cycles = unit["busy_cycles"] if owner == "busy" else unit["stall_cycles"][owner]
            if cycles:
                yield bar(x, y, width * cycles / total, colour, f"{name} {owner}: {100 * cycles / total:.1f} %")
                x += width * cycles / total
    bottom = top + 31 * len(UNITS + ENGINES) + 20
    for tick in range(0, 101, 25):
        yield text(left + width * tick / 100, bottom, f"{tick} %", 12, "middle")


def bars(
    title: str, values: dict[str, float], unit: str, left: float, top: float, width: float, most: int
) -> Iterator[str]:
    """Plain bars with their values, the largest `most` of them."""
    yield text(left - 120, top - 12, title, 15, weight="bold")
    largest = max(values.values())
    for row, (name, value) in enumerate(list(values.items())[:most]):
        y, length = top + row * 24, width * value / largest
        colour = COLOURS["busy"] if name in ("this design", "predicted") or unit == "µJ" else COLOURS["dependency"]
        yield text(left - 8, y + 13, name, anchor="end") + bar(left, y, length, colour, f"{name}: {value:.4g}", 16)
        yield text(left + length + 6, y + 13, f"{value:,.0f} {unit}" if unit else f"{value:.2f}", 12)


def picture(run: dict) -> str:
    """The whole SVG."""
    baseline, quality = run["baseline"], run["quality"]
    cycles = {f"dense, {baseline['dense_mapping'].replace('_', '-')}": baseline["dense_cycles"] / 1e3}
    if baseline["iso_area"]:
        cycles["dense, same area"] = baseline["iso_area"]["cycles"] / 1e3
    cycles["this design"] = run["cycles"] / 1e3
    parts = {name: pj / 1e6 for name, pj in run["energy_pj"].items() if name != "total"}
    energy = dict(sorted(parts.items(), key=lambda part: -part[1]))
    title = f"{run['arch']['name']} on {run['trace']['name']}: {run['cycles']:,} cycles"
    body = [text(20, 34, title, 19, weight="bold"), *time_of_units(run, 135, 136, 385)]
    body += bars("Thousand cycles", cycles, "k", 720, 84, 180, 3)
    body += bars("Energy", energy, "µJ", 720, 200, 180, 8)
    if quality is not None:
        mass = {"predicted": quality["captured_mass_ratio"]}
        mass |= {
            name.replace("_", " + "): quality[name]["captured_mass_ratio"]
            for name in ("oracle", "sink_window", "random")
        }
        body += bars("Softmax mass on kept keys", mass, "", 720, 436, 180, 4)
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>'
    font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" fill="#1f2328"'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>'
    return "\n".join([head, f"<title>{escape(title)}</title>", frame, *body, "</svg>"]) + "\n"


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    target.write_text(picture(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")
