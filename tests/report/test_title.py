"""What a run is called says what was changed, and what of a trace was left out."""

from typing import Any

import pytest

from dsasim.report.title import run_title


def run(layers: int = 2, heads: int = 12, **changes: Any) -> dict[str, Any]:
    """A document as far as its title goes."""
    reports = [{"layer": number, "heads": [{}] * heads} for number in range(layers)]
    trace = {"name": "t", "kind": "real", "model": "M-1B (float32)"}
    return {"arch": {"name": "x"}, "trace": trace, "layers": reports, "scope": "attention"} | changes


TITLES = {
    "whole": (run(), "x on t (real, M-1B; layers 0, 1; 24 heads)"),
    "one head": (run(1, 1), "x on t (real, M-1B; layers 0; 1 head)"),
    "no model": (
        run(trace={"name": "t", "kind": "mask", "model": ""}),
        "x on t (mask; layers 0, 1; 24 heads)",
    ),
    "set": (run(changes=["a.b=1", "c=2"]), "x with a.b=1, c=2 on t (real, M-1B; layers 0, 1; 24 heads)"),
    "layers": (
        run(1, part={"of_layers": 2, "of_heads": 24}),
        "x on t (real, M-1B; 1 of 2 layers: 0; 12 of 24 heads)",
    ),
    "heads": (
        run(heads=2, part={"of_layers": 2, "of_heads": 24}),
        "x on t (real, M-1B; layers 0, 1; 4 of 24 heads)",
    ),
    "batch": (
        run(layers=0)
        | {"layers": [{"layer": at // 3, "sequence": at % 3, "heads": [{}] * 4} for at in range(6)]}
        | {"part": {"of_layers": 2, "of_heads": 36}},
        "x on t (real, M-1B; layers 0, 1; 3 sequences; 24 of 36 heads)",
    ),
    "scope": (run(scope="layer"), "x on t (real, M-1B; layers 0, 1; 24 heads; scope layer)"),
    "escape": (run(changes=["a=\x1b[31m"]), r"x with a=\x1b[31m on t (real, M-1B; layers 0, 1; 24 heads)"),
}


@pytest.mark.parametrize(("document", "title"), TITLES.values(), ids=TITLES)
def test_a_title_says_it(document: dict[str, Any], title: str) -> None:
    assert run_title(document) == title
