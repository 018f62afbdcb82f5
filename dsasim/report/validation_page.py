"""The outcome of a validation as one HTML page: no script, nothing loaded from elsewhere, light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from dsasim.report.markup import inert
from dsasim.report.validation import (
    FIGURES,
    LIMITS,
    cell_text,
    figure_text,
    gate_text,
    heading,
    open_checks,
    title,
    verdict,
)
from dsasim.trace.schema import layer_label
from dsasim.validate.check import CheckTable
from dsasim.validate.result import Validation

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6672; --line: #d9dee4; --page: #fdfdfc; --card: #f4f5f3;
  --passed: #2c7a4b; --failed: #b3261e; --skipped: #946200; --measured: #22628f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7ec; --soft: #98a3b0; --line: #39414b; --page: #14181d;
  --card: #1c2229; --passed: #6cc48d; --failed: #ff8a80; --skipped: #e0b04c; --measured: #7cb8e4; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 66rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
p { margin: .3rem 0 } .soft { color: var(--soft) } code { font-size: .9em; overflow-wrap: anywhere }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
.wide { overflow-x: auto } th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right }
th { color: var(--soft); font-weight: 500 } .text { text-align: left }
.verdict { display: inline-block; padding: .3rem .8rem; border-radius: .4rem; border: 1px solid; font-weight: 600 }
.passed { color: var(--passed) } .failed { color: var(--failed) } .skipped { color: var(--skipped) }
.measured { color: var(--measured) } details { margin: .6rem 0 } summary { cursor: pointer }
svg { max-width: 100%; height: auto; background: var(--card); border-radius: .4rem }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif } svg .faint { fill: var(--soft); font-size: 12px }
svg line { stroke: var(--line) } svg .gate { stroke: var(--failed); stroke-width: 2 }
svg .passed { fill: var(--passed) } svg .failed { fill: var(--failed) } svg .measured { fill: var(--measured) }
"""

WORDS = """max abs: largest difference. max rel: largest difference over the reference, whose magnitude counts as at
least a thousandth of its largest. RMSE: root of the mean squared difference. rel L1: sum of the differences over that
of the reference's magnitudes. rel L2: norm of the difference over that of the reference. 1-cos: one minus the cosine of
the angle between both. Each is the worst head's. Gates are of rel. L2 and hold for every head (model's output and
float64: for every row too); of 16-bit stores and arithmetic no value may be off by more than both 0.01 and 1 % either.
Exact: nothing may differ. NaN never passes, and skipped is not passed."""

AXIS_LOW, AXIS_HIGH = -9, 0
"""Powers of ten that the axis of errors spans."""


def validation_page(result: Validation) -> str:
    """The text of the page; the same for the same outcome."""
    status = "failed" if result.failures else "passed"
    body = [
        f"<h1>{inert(title(result))}</h1>",
        f'<p><span class="verdict {status}">{inert(verdict(result))}</span></p>',
        *_complaints(result),
        f"<p>{inert(LIMITS)}</p>",
        "<h2>Every step against PyTorch</h2>",
        _summary(result),
        f'<p class="soft">{WORDS}</p>',
        "<h2>How far below its gate each step is</h2>",
        _errors_chart(result),
        *_tables(result),
        "<h2>What was validated, with what</h2>",
        _provenance(result),
    ]
    return _document(f"dsasim validate: {result.arch_name} on {result.trace.name}", "\n".join(body))


def _document(heading: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{inert(heading)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _complaints(result: Validation) -> Iterator[str]:
    """Notes on the trace, what failed, and what was skipped and why."""
    for note in result.notes:
        yield f'<p class="skipped">{inert(note)}</p>'
    for check in result.failures:
        yield f'<p class="failed">{inert(f"failed: {check.title}: {check.detail}")}</p>'
    for reason, checks in result.skipped_for().items():
        titles = "; ".join(check.title for check in checks)
        yield f'<p class="skipped">{inert(f"skipped: {reason}: {titles}")}</p>'


def _summary(result: Validation) -> str:
    rows = []
    for check in result.checks:
        gate = gate_text(check)
        status = f'<td class="text {check.status}">{check.status}</td>'
        figures = "".join(f"<td>{inert(figure_text(check, name))}</td>" for name in FIGURES)
        rows.append(f'<tr><td class="text">{inert(check.title)}</td>{status}{figures}<td>{gate}</td></tr>')
    head = "".join(f"<th>{words}</th>" for words in (*FIGURES.values(), "gate"))
    return f'<div class="wide"><table><tr><th class="text">step</th><th></th>{head}</tr>{"".join(rows)}</table></div>'


def _errors_chart(result: Validation) -> str:
    """Each gated error on an axis of powers of ten, its gate beside it."""
    shown = [check for check in result.checks if check.gate is not None and "rel_l2" in check.figures]
    width, left, step = 880, 290, 28
    height = step * len(shown) + 40
    lines = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="errors and gates">']
    for power in range(AXIS_LOW, AXIS_HIGH + 1):
        x = _at(10.0**power, left, width)
        lines.append(f'<line x1="{x}" y1="8" x2="{x}" y2="{height - 28}"/>')
        lines.append(f'<text class="faint" x="{x}" y="{height - 10}" text-anchor="middle">1e{power}</text>')
    for at, check in enumerate(shown):
        y, value = 24 + step * at, check.figures["gated"]
        error = value if isinstance(value, float) else 10.0**AXIS_HIGH
        lines.append(f'<text x="10" y="{y + 5}">{inert(check.title)}</text>')
        lines.append(f'<circle class="{check.status}" cx="{_at(error, left, width)}" cy="{y}" r="6"/>')
        assert check.gate is not None
        x = _at(check.gate, left, width)
        lines.append(f'<line class="gate" x1="{x}" y1="{y - 9}" x2="{x}" y2="{y + 9}"/>')
    caption = '<p class="soft">dot: largest rel. L2 of a head, or of a row where rows are gated too; bar: the gate</p>'
    return "\n".join([*lines, "</svg>", caption])


def _at(value: float, left: int, width: int) -> float:
    """Where a value lies on the axis."""
    power = min(max(math.log10(value) if value > 0 else AXIS_LOW, AXIS_LOW), AXIS_HIGH)
    return round(left + (width - left - 30) * (power - AXIS_LOW) / (AXIS_HIGH - AXIS_LOW), 1)


def _tables(result: Validation) -> Iterator[str]:
    """Every table: the short ones open, then the long ones, to be unfolded."""
    for check in result.checks:
        if any(not table.detail for table in check.tables):
            yield f"<h2>{inert(check.title)}</h2>"
        for table in check.tables:
            if not table.detail:
                yield f"<p>{inert(heading(table, result))}</p>{_table(table)}"
        if check.detail and check in open_checks(result):
            yield f"<p>{inert(check.detail)}</p>"
    yield "<h2>In detail</h2>"
    for check in result.checks:
        for table in check.tables:
            if table.detail:
                words = f"{check.title}: {heading(table, result)}, {len(table.rows)} rows"
                yield f"<details><summary>{inert(words)}</summary>{_table(table)}</details>"


def _table(table: CheckTable) -> str:
    head = "".join(f"<th>{inert(column)}</th>" for column in table.columns)
    rows = ("".join(f"<td>{inert(cell_text(cell))}</td>" for cell in row) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _provenance(result: Validation) -> str:
    trace = result.trace
    rows = {
        "design": f"{result.arch_name}, sha256 {result.arch_sha256}",
        "trace": f"{trace.name} ({trace.kind}), sha256 {trace.sha256}",
        "model": trace.model,
        "heads of layer": "; ".join(
            f"{layer}: {', '.join(map(str, heads))}" for layer, heads in result.selection.items()
        ),
        **{
            f"layer {layer_label(number, sequence)}": str(shape)
            for number, sequence, _ in result.layers()
            if (shape := result.shape_of(number, sequence)) is not None
        },
        "source of dsasim": f"sha256 {result.source_sha256}",
        "device": result.device,
        **{f"device {key.replace('_', ' ')}": str(value) for key, value in result.machine.items()},
        **result.versions,
        "trace: weights": _weights(trace.provenance),
        **{f"trace: {key.replace('_', ' ')}": _words(value) for key, value in trace.provenance.items()},
    }
    body = "".join(
        f'<tr><td class="text soft">{inert(key)}</td><td class="text"><code>{inert(value)}</code></td></tr>'
        for key, value in rows.items()
    )
    return f'<div class="wide"><table>{body}</table></div>'


def _words(value: object) -> str:
    """A value of the trace's provenance: a mapping as its pairs."""
    return ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else str(value)


def _weights(provenance: Mapping[str, object]) -> str:
    """The digest of the model's weights, or that the trace has none: its package and version name them then."""
    named = [str(value) for key, value in provenance.items() if "weights" in key and "sha256" in key]
    return ", ".join(named) or "no sha256 in the trace"
