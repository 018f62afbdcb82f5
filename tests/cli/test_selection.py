"""A run of changed designs or of parts of a trace says so on the terminal, in its page and in what is saved."""

import json
from collections.abc import Callable
from pathlib import Path

PART = ("--layers", "0", "--heads", "0,1")
CHANGE = ("--set", "pe_array.lanes=2")
TITLE = "dsa-edge with pe_array.lanes=2 on minilm-l128 (real, all-MiniLM-L6-v2; 1 of 6 layers: 0; 2 of 72 heads)"


def test_a_run_says_what_was_set_and_chosen_wherever_it_is_shown(dsasim: Callable, tmp_path: Path) -> None:
    saved, page, drawn = (tmp_path / name for name in ("r.json", "r.html", "again.html"))
    done = dsasim("run", "dsa-edge", "minilm-l128", *PART, *CHANGE, "--json", str(saved), "--report", str(page))
    assert done.status == 0
    assert " ".join(done.out.split()).startswith(TITLE)
    assert f"<h1>{TITLE}</h1>" in page.read_text(encoding="utf-8")
    values = json.loads(saved.read_text(encoding="utf-8"))
    assert values["changes"] == ["pe_array.lanes=2"]
    assert values["part"] == {"of_layers": 6, "of_heads": 72}
    assert dsasim("report", str(saved), "--out", str(drawn)).status == 0
    assert f"<title>{TITLE}</title>" in drawn.read_text(encoding="utf-8")


def test_a_comparison_says_what_was_set_in_all_designs(dsasim: Callable) -> None:
    done = dsasim("compare", "dsa-edge", "dsa-coupled", "--trace", "minilm-l128", *PART, *CHANGE)
    assert " ".join(done.out.split()).startswith(
        "minilm-l128 (real, all-MiniLM-L6-v2; 1 of 6 layers: 0; 2 of 72 heads) with pe_array.lanes=2 "
    )
