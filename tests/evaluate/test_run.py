"""A whole evaluation on a small model: each point's figures are its own, and cycles are those of its masks."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from dsasim import load_arch
from dsasim.api import simulate
from dsasim.errors import TraceError
from dsasim.evaluate import run as evaluation
from dsasim.evaluate import task as tasks
from dsasim.evaluate.cycles import cycles_of
from dsasim.evaluate.masks import masks_of
from dsasim.evaluate.run import EvaluationRequest, evaluate
from dsasim.evaluate.task import TextTask, load_task
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import open_trace, trace_in_memory
from dsasim.validate.break_even import beginning

pytestmark = pytest.mark.torch


def design(method, density):
    made_by = "dsa2021" if method == "dsa2021" else "oracle_topk"
    return load_arch("dsa-edge", [f"predictor.method={made_by}", f"mask_generator.density={density}"])


def test_every_point_counts_its_own_masks(llama, monkeypatch):
    """Rows of 1 .. 24 keys keep max(1, ceil(density x n)) of them, whatever was evaluated before."""
    windows = torch.cat([llama.ids, llama.ids.flip(1)])
    monkeypatch.setattr(evaluation, "load_task", lambda *_: TextTask("m", llama.model, "perplexity", windows))
    asked = [("random", Decimal("0.1")), ("random", Decimal("0.5")), ("oracle_topk", Decimal(1))]
    request = EvaluationRequest("m", {key: design(*key) for key in asked}, (0, 2), 2, 24, None, with_cycles=False)
    seen = []
    found = evaluate(request, open_trace(llama.path), lambda *at: seen.append(at))
    assert [(point.method, point.density) for point in found.points] == [("dense", Decimal(1)), *asked]
    for point in found.points[1:]:
        kept = sum(max(1, -(-int(100 * point.density) * n // 100)) for n in range(1, 25))
        assert point.density_ratio == pytest.approx(kept / (24 * 25 / 2))
        if point.density == 1:
            assert point.figures["perplexity"] == pytest.approx(found.points[0].figures["perplexity"], rel=1e-4)
    assert seen == [(at + 1, 8) for at in range(8)]


@pytest.mark.parametrize("method", ["dsa2021", "oracle_topk", "random", "sink_window"])
def test_cycles_are_those_of_the_method_s_masks(method, llama):
    trace, arch = open_trace(llama.path), design(method, "0.25")
    layer = trace.layer(2)
    if method in ("random", "sink_window"):
        keep = np.stack([pack_bits(mask.to_dense()) for mask in masks_of(arch, method)(layer)])
        alone = MaskArrays(2, keep, layer.L_k, layer.d_head, layer.num_kv_heads, causal=True)
        trace_of_masks = trace_in_memory("masks", [alone], kind="mask")
        expected = simulate(arch, trace_of_masks)
    else:
        expected = simulate(arch, trace, [2])
    assert cycles_of(arch, trace, (2,), method) == (expected.machine.cycles, expected.baseline.speedup_vs_dense)


@pytest.mark.parametrize("method", ["oracle_topk", "random"])
def test_cycles_are_those_of_all_sequences(method, llama):
    """Twice the same sequence, and a shorter one: each counts."""
    layer, arch = open_trace(llama.path).layer(2), design(method, "0.25")

    def of(*lengths):
        layers = [replace(beginning(layer, L, arch), sequence=sequence) for sequence, L in enumerate(lengths)]
        return cycles_of(arch, trace_in_memory("batch", layers), (2,), method)[0]

    one, two, three = of(24), of(24, 24), of(24, 24, 12)
    assert 1.5 * one < two < three < 3 * one


def test_the_predictor_is_that_of_the_longest_sequence(llama):
    """It knows the positions of every shorter text."""
    layer, arch = open_trace(llama.path).layer(2), design("dsa2021", "0.25")
    layers = [replace(beginning(layer, L, arch), sequence=sequence) for sequence, L in enumerate((7, 24, 12))]
    request = EvaluationRequest("m", {("dsa2021", Decimal("0.25")): arch}, (2,), 1, 24, None, with_cycles=False)
    assert len(evaluation._fits(request, trace_in_memory("batch", layers))[2].extra_k) == 24


@pytest.mark.parametrize(
    ("config", "message"),
    [("{", "not JSON"), ("[]", "not a JSON object"), ('{"architectures": NaN}', "NaN"), ("[" * 100_000, "64 brackets")],
)
def test_a_config_comes_through_the_door(tmp_path, config, message):
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(TraceError, match=rf"config.json: not a model's config: .*{message}"):
        tasks._with_head(None, tmp_path, {})


def test_windows_are_the_end_of_the_text_with_what_the_tokenizer_adds(monkeypatch):
    """Of 100 numbers in windows of 6 tokens, two of them added, three windows are the last twelve."""

    def tokenizer(text, *, add_special_tokens=True, verbose=True):
        ids = [int(word) for word in text.replace("a", "1").split()]
        return {"input_ids": [101, *ids, 102] if add_special_tokens else ids}

    model = SimpleNamespace(config=SimpleNamespace())
    monkeypatch.setattr(tasks, "model_folder", lambda _: ("m", Path(), None))
    monkeypatch.setattr(tasks, "load_text_model", lambda *_: (model, tokenizer))
    monkeypatch.setattr(tasks, "read_input", lambda _: " ".join(map(str, range(100))))
    task = load_task("m", 6, 3, None)
    assert task.windows.tolist() == [[101, *range(first, first + 4), 102] for first in (88, 92, 96)]
    assert task.task == "cosine"


def test_perplexity_is_over_all_tokens_of_all_windows():
    """Losses of 1, 2 and 3, 6 nats: the mean is 3; hits are 1 of 4."""
    outputs = [torch.tensor([[1.0, 2.0], [1, 0]]), torch.tensor([[3.0, 6.0], [0, 0]])]
    figures = TextTask("m", None, "perplexity", None).figures(outputs, outputs)
    assert figures["perplexity"] == pytest.approx(np.exp(3))
    assert figures["next_token_accuracy_ratio"] == 0.25
