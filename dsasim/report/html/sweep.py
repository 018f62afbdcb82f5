"""The page of a sweep."""

from collections import Counter
from collections.abc import Iterator, Sequence

from dsasim.report.html.front import BETTER, front_figure, front_table, left_out, pairs
from dsasim.report.html.page import Page
from dsasim.report.html.parts import (
    Card,
    Cards,
    Chart,
    Choice,
    Folded,
    Heading,
    Notes,
    PagePart,
    PageSection,
    PageTable,
)
from dsasim.report.html.points import AxisLabels, PointGroup, Row, axes_of, groups, overrides_line, overrides_yaml
from dsasim.report.html.progress import progress_charts
from dsasim.report.html.quantities import quantity
from dsasim.report.html.sensitivity import effects, over_axis
from dsasim.report.html.summary import ERROR_NOTE, KINDS
from dsasim.report.style import number
from dsasim.report.sweep import without_value

MAX_REFUSED = 100
STATUS_WORDS = {
    "ok": "ran, and keep every constraint",
    "infeasible": "break a constraint",
    "invalid": "no design can be so",
    "failed": "crashed",
}


def sweep_page(rows: Sequence[Row], missing: Sequence[str] = ()) -> Page:
    """Return the page of a sweep's rows; ConfigError if none of them has its objectives.

    `missing`: sentences on rows that are not there.
    """
    found, axes = groups(rows), axes_of(rows)
    designs = list(dict.fromkeys(row["design"] for group in found for row in group.rows))
    return Page(
        f"Sweep of {', '.join(designs)} on {', '.join(dict.fromkeys(group.name for group in found))}",
        [
            PageSection(
                "Summary",
                f"{len(rows):,} points; axes: {'; '.join(axis.name for axis in axes)}.",
                _summary(rows, found, missing),
            ),
            *(_front(at, group, axes) for at, group in enumerate(found)),
            *(_progress(at, group) for at, group in enumerate(found) if _searched(group)),
            *(_sensitivity(at, group, axes) for at, group in enumerate(found) if axes),
            *_refused(rows, axes),
        ],
    )


def _summary(rows: Sequence[Row], found: Sequence[PointGroup], missing: Sequence[str]) -> list[PagePart]:
    counts = Counter(row["status"] for row in rows)
    cards = [Card(status, f"{counts[status]:,}", words) for status, words in STATUS_WORDS.items() if counts[status]]
    cards += list(_best(found[0]))
    kinds = dict.fromkeys(KINDS.get(group.rows[0]["trace"]["kind"], "") for group in found)
    notes = dict.fromkeys(note for group in found for row in group.rows for note in row.get("notes", ()))
    free = any(row["predictor_free"] for group in found for row in group.rows)
    bound = ["Prediction is free of charge in some points: what they save is an upper bound."] if free else []
    return [Notes([*missing, *notes, *bound], warning=True), Cards(cards), Notes([*kinds, ERROR_NOTE])]


def _best(group: PointGroup) -> Iterator[Card]:
    for metric in group.metrics:
        rows = [row for row in group.rows if row["status"] == "ok"]
        if rows:
            best = (min if metric.sense == "min" else max)(rows, key=lambda row: row["objectives"][metric.name])
            shown = quantity(metric.name)
            value = f"{number(best['objectives'][metric.name] / shown.size)} {shown.unit}"
            yield Card(f"best {shown.words}", value, f"point {best['point']} on {group.name}, {BETTER[metric.sense]}")


def _front(at: int, group: PointGroup, axes: Sequence[AxisLabels]) -> PageSection:
    count = f"{len(group.front)} of {len(group.rows)} points"
    words = f"{count} are beaten by no other in every objective. Point at one for its YAML; open a row for its design."
    words += left_out(group)
    charts = [
        Chart(
            f"front-{at}-{number}", front_figure(group, x, y), f"{quantity(x.name).words} and {quantity(y.name).words}"
        )
        for number, (x, y) in enumerate(pairs(group.metrics))
    ]
    parts: list[PagePart] = [Choice("Objectives", charts)] if charts else []
    return PageSection(f"Pareto front on {group.name}", words, [*parts, front_table(group, axes)])


def _searched(group: PointGroup) -> bool:
    """Whether points were asked for in an order that means something, and one of them is a design to have."""
    return group.rows[0].get("strategy", "grid") != "grid" and any(row["status"] == "ok" for row in group.rows)


def _progress(at: int, group: PointGroup) -> PageSection:
    strategy = group.rows[0]["strategy"]
    words = (
        f"What {strategy} had found after so many points, in the order in which it asked for them. The hypervolume is "
        "what the points dominate of the space of the objectives' logarithms, up to the worst of each."
    )
    charts = [
        Chart(f"progress-{at}-{number}", drawn, label)
        for number, (label, drawn) in enumerate(progress_charts(group).items())
    ]
    return PageSection(f"Progress of the search on {group.name}", words, [Choice("Show", charts)])


def _sensitivity(at: int, group: PointGroup, axes: Sequence[AxisLabels]) -> PageSection:
    words = (
        "Medians over all other axes that were run; a search runs its points unevenly, so its medians are only a hint."
    )
    charts = [
        Chart(
            f"axis-{at}-{number}-{metric.name.replace('.', '-')}",
            over_axis(group, axis, metric),
            f"{quantity(metric.name).words} over {axis.name}",
        )
        for number, axis in enumerate(axes)
        for metric in group.metrics
    ]
    parts: list[PagePart] = [Chart(f"effects-{at}", effects(group, axes)), Heading("One axis"), Choice("Show", charts)]
    return PageSection(f"What each axis does on {group.name}", words, parts)


def _refused(rows: Sequence[Row], axes: Sequence[AxisLabels]) -> Iterator[PageSection]:
    refused = [row for row in rows if row["status"] != "ok"]
    if refused:
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in refused:
            alike.setdefault((row["status"], without_value(row["reason"] or "")), []).append(row)
        most_first = sorted(alike.items(), key=lambda item: -len(item[1]))
        shown: list[list[str | Folded]] = [
            [f"{len(same):,}", status, reason, Folded(overrides_line(same[0], axes), overrides_yaml(same[0]))]
            for (status, reason), same in most_first[:MAX_REFUSED]
        ]
        more = f", the {MAX_REFUSED} most frequent of {len(alike):,} reasons." if len(alike) > MAX_REFUSED else "."
        words = f"{len(refused):,} points, those of one reason together, with the first of them{more}"
        table = PageTable(("points", "status", "reason", "design"), shown, ("status", "reason", "design"))
        yield PageSection("Points without a place", words, [table])
