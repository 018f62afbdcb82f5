"""The timeline a user gets is what Perfetto and the old viewer can read, whatever was run."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trace_events import problems

RUNS = {
    "decoupled": ("dsa-decoupled", "smollm2-l512", "--layers", "13", "--heads", "0,1"),
    "coupled": ("dsa-coupled", "minilm-l128", "--layers", "0,2", "--heads", "0"),
    "dense products": ("dsa-decoupled", "minilm-l128", "--layers", "2", "--scope", "layer"),
    "window": ("dsa-edge", "minilm-l128", "--layers", "2", "--timeline-window", "1000:9000"),
}


@pytest.mark.parametrize("arguments", RUNS.values(), ids=RUNS)
def test_what_a_run_writes_is_a_valid_trace(dsasim: Callable[..., Any], tmp_path: Path, arguments: Any) -> None:
    path = tmp_path / "t.json.gz"
    done = dsasim("run", *arguments, "--timeline", str(path))
    assert (done.status, done.err) == (0, "")
    document = json.loads(gzip.decompress(path.read_bytes()))
    assert problems(document) == []
    kinds = [event["ph"] for event in document["traceEvents"]]
    assert kinds.count("X") > 50
    assert {"X", "C", "M"} == set(kinds)


NAMES = [
    {"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": "units"}},
    {"ph": "M", "pid": 1, "tid": 7, "name": "thread_name", "args": {"name": "lane"}},
]
SLICE = {"ph": "X", "pid": 1, "tid": 7, "ts": 0, "dur": 4, "name": "a"}
COUNT = {"ph": "C", "pid": 1, "ts": 3, "name": "slots", "args": {"slots": 1}}
WRONG = {
    "no list": ({}, "not an object with traceEvents"),
    "begin": ([SLICE | {"ph": "B"}], "is not of a kind"),
    "nameless": ([SLICE | {"name": ""}], "has no name"),
    "fraction": ([SLICE | {"ts": 0.5}], "ts is a whole number"),
    "backwards": ([SLICE | {"dur": -1}], "dur is a whole number"),
    "colour": ([SLICE | {"cname": "mauve"}], "no colour mauve"),
    "metadata": ([NAMES[1] | {"args": {}}], "metadata without its argument"),
    "row": ([SLICE | {"tid": 8}], "row (1, 8) has no name"),
    "process": ([COUNT | {"pid": 2}], "process 2 has no name"),
    "crossing": ([SLICE, SLICE | {"ts": 2}], "an event from 2 to 6 crosses one that ends at 4"),
    "counter back": ([COUNT, COUNT], "3 comes after 3"),
    "counter text": ([COUNT | {"args": {"slots": "1"}}], "its series are numbers"),
    "series": ([COUNT, COUNT | {"ts": 4, "args": {"others": 1}}], "its series change"),
}


@pytest.mark.parametrize(("events", "words"), WRONG.values(), ids=WRONG)
def test_the_validator_finds_what_is_wrong(events: Any, words: str) -> None:
    document = events if isinstance(events, dict) else {"traceEvents": [*NAMES, *events]}
    assert any(words in problem for problem in problems(document))


def test_nested_and_touching_events_are_fine() -> None:
    nested = [SLICE, SLICE | {"ts": 1, "dur": 3}, SLICE | {"ts": 4}, COUNT, COUNT | {"ts": 4}]
    assert problems({"traceEvents": [*NAMES, *nested]}) == []
