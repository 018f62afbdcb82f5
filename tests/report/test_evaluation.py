"""What masks do to a model, as a table, JSON and a picture."""

import json
import math
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from dsasim.evaluate.result import Evaluation, EvaluationPoint
from dsasim.report.evaluation import evaluation_json, evaluation_svg, print_evaluation


def evaluation(*, timed=False, task="perplexity"):
    def point(method, density, figure, cycles):
        figures = {task: figure, "pair_accuracy_ratio" if task == "cosine" else "next_token_accuracy_ratio": 0.5}
        return EvaluationPoint(
            method, Decimal(density), float(density), figures, *((cycles, 2.5) if timed else (None, None))
        )

    points = (
        EvaluationPoint("dense", Decimal(1), 1.0, {task: 17.0, "next_token_accuracy_ratio": 0.5}),
        point("dsa2021", "0.1", 20.0, 3000),
        point("dsa2021", "0.25", 18.0, 5000),
        point("random", "0.1", 4321.0, 2000),
    )
    return Evaluation("m<1>", task, "t", "a", (0, 2), 3, 4, 128, "x.txt", points, ("a note",))


def printed(result):
    console = Console(file=StringIO(), width=120)
    print_evaluation(result, console)
    return console.file.getvalue()


def test_the_table_has_a_row_a_point():
    text = printed(evaluation(timed=True))
    assert "m<1>, 2 of 3 layers masked, 4 windows of 128 tokens of x.txt" in text
    assert "a note" in text
    row = next(line for line in text.splitlines() if "dsa2021" in line)
    assert row.split() == ["dsa2021", "0.1", "10.0", "%", "20.00", "50.0", "%", "3,000", "2.50x"]
    assert "cycles" not in printed(evaluation())


def test_the_json_is_finite():
    result = evaluation(task="cosine")
    points = (
        EvaluationPoint("dense", Decimal(1), 1.0, {"cosine": 1.0, "pair_accuracy_ratio": math.nan}),
        *result.points[1:],
    )
    found = evaluation_json(Evaluation(**{**vars(result), "points": points}))
    json.dumps(found, allow_nan=False)
    assert found["points"][0]["pair_accuracy_ratio"] is None
    assert found["points"][1]["density"] == "0.1"
    assert found["layers"] == [0, 2]


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("task", ["perplexity", "cosine"])
def test_the_picture_is_well_formed_and_holds_every_point(timed, task):
    svg = ET.fromstring(evaluation_svg(evaluation(timed=timed, task=task)))
    circles = [element for element in svg.iter() if element.tag.endswith("circle")]
    assert len(circles) == 3
    width, height = float(svg.attrib["width"]), float(svg.attrib["height"])
    assert all(0 < float(c.attrib["cx"]) < width and 0 < float(c.attrib["cy"]) < height for c in circles)
    words = "".join(svg.itertext())
    assert ("cycles" in words) == timed
    assert "dense" in words


def test_one_point_can_be_drawn():
    result = evaluation()
    alone = Evaluation(**{**vars(result), "points": result.points[:2]})
    ET.fromstring(evaluation_svg(alone))


def test_a_point_stands_where_it_kept_not_where_it_was_asked_to():
    """Whatever was asked for, 0.2, 0.8 and 0.4 of the positions were kept: on a logarithmic axis 0.4 is the middle."""
    result = evaluation()
    kept = [
        replace(point, density_ratio=ratio) for point, ratio in zip(result.points, (1.0, 0.2, 0.8, 0.4), strict=True)
    ]
    svg = ET.fromstring(evaluation_svg(replace(result, points=tuple(kept))))
    left, right, middle = (float(c.attrib["cx"]) for c in svg.iter() if c.tag.endswith("circle"))
    assert middle == pytest.approx((left + right) / 2, abs=0.1)


def test_what_was_not_timed_has_no_cycles():
    timed, untimed = (evaluation_json(evaluation(timed=timed))["points"] for timed in (True, False))
    assert [point["cycles"] for point in timed] == [None, 3000, 5000, 2000]
    assert [point["speedup_vs_dense"] for point in timed] == [None, 2.5, 2.5, 2.5]
    assert {(point["cycles"], point["speedup_vs_dense"]) for point in untimed} == {(None, None)}
