"""`dsasim trace`."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Two layers of four heads that keep a quarter of the keys."""
    kept = np.zeros((2, 4, 8, 8), bool)
    kept[..., :2] = True
    path = tmp_path / "m.npy"
    np.save(path, kept)
    return path


def test_list_names_each_shipped_trace(dsasim: Callable) -> None:
    done = dsasim("trace", "list")
    assert done.status == 0
    assert [line.split()[0] for line in done.out.split("\n") if "real" in line] == ["minilm-l128", "smollm2-l512"]
    assert "4, 13, 24" in done.out


def test_info_describes_the_default_trace(dsasim: Callable) -> None:
    done = dsasim("trace", "info")
    assert done.status == 0
    for words in ("smollm2-l512 (real, ", "self, causal", "95% of the mass", "sha256"):
        assert words in done.out
    assert max(map(len, done.out.split("\n"))) <= 100


def test_a_mask_becomes_a_trace(dsasim: Callable, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    arguments = ("--d-head", "16", "--out", str(out), "--kv-heads", "2")
    assert dsasim("trace", "import-mask", str(mask), *arguments).out == f"wrote {out}\n"
    done = dsasim("trace", "info", str(out))
    assert "kept by the mask" in done.out
    assert "25.0 %" in done.out


def test_of_a_batch_a_sample_is_taken_and_said(dsasim: Callable, mask: Path, tmp_path: Path) -> None:
    np.save(mask, np.stack([np.load(mask)] * 2))
    out = tmp_path / "t.safetensors"
    arguments = ("trace", "import-mask", str(mask), "--d-head", "16", "--out", str(out))
    assert dsasim(*arguments, "--sample", "1").out == f"wrote {out}, sample 1 of the batch\n"
    assert "choose a sample, 0-1, or all" in dsasim(*arguments).err
    assert dsasim(*arguments, "--sample", "all").out == f"wrote {out}, all samples of the batch\n"
    assert "0 sequence 1" in dsasim("trace", "info", str(out)).out
    refused = dsasim(*arguments, "--sample", "both")
    assert (refused.status, refused.err) == (2, "dsasim: error: --sample both: expected a number such as 0, or all\n")


def test_a_batch_is_made_looked_at_and_run(dsasim: Callable, tmp_path: Path) -> None:
    """Each row of a table says which sequence it is of, and `--layers` and `--heads` choose on all of them."""
    out = str(tmp_path / "t.safetensors")
    shape = ("--length", "32", "--heads", "2", "--d-head", "16", "--layers", "2", "--sequences", "2")
    assert dsasim("trace", "synth", "--pattern", "random", *shape, "--out", out).status == 0
    told = dsasim("trace", "info", out).out
    assert [name in told for name in ("0 sequence 0", "1 sequence 1", "num sequences")] == [True] * 3
    done = dsasim("run", "dsa-decoupled", out, "--layers", "1", "--heads", "0")
    assert "1 of 2 layers: 1; 2 sequences; 2 of 8 heads" in done.out
    assert "1 sequence 0" in done.out
    assert "1 sequence 1" in done.out
    assert "dense attention on GPUs, batch 2" in done.out


def test_synthetic_masks_say_so_wherever_they_are_shown(dsasim: Callable, tmp_path: Path) -> None:
    out = str(tmp_path / "t.safetensors")
    shape = ("--length", "64", "--heads", "2", "--d-head", "16", "--causal", "--density", "0.2")
    made = dsasim("trace", "synth", "--pattern", "random", *shape, "--out", out)
    # rows of 1 .. 64 allowed keys keep 5 x (1 + … + 12) + 4 x 13 = 442 of 2080 positions
    assert made.out == f"wrote {out}: 21.2 % of the allowed positions kept\n"
    assert made.err.startswith("dsasim: warning: synthetic: random masks mislead")
    whole = tmp_path / "r.json"
    run = dsasim("run", "dsa-decoupled", out, "--json", str(whole))
    for table in (dsasim("trace", "info", out).out, run.out):
        assert "t (synthetic, no model, random masks" in table
        assert "synthetic: random masks mislead: near rows share hardly a key" in table
        assert max(map(len, table.split("\n"))) <= 100
    assert '"kind": "synthetic"' in whole.read_text()
    assert "random masks mislead" in whole.read_text()
    assert "at most" in run.out


def test_synthetic_scores_run_on_any_method(dsasim: Callable, tmp_path: Path) -> None:
    out = str(tmp_path / "t.safetensors")
    shape = ("--length", "64", "--queries", "16", "--heads", "4", "--kv-heads", "2", "--d-head", "16")
    assert dsasim("trace", "synth", "--pattern", "top_k", "--qkv", *shape, "--out", out).status == 0
    for method in ("oracle_topk", "given"):
        run = dsasim("run", "dsa-decoupled", out, "--set", f"predictor.method={method}")
        assert (run.status, "mask recall    1.000" in run.out) == (0, True)


def test_a_predictor_is_fitted_and_said_to_have_seen_its_input(
    dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shape = ("--length", "64", "--heads", "2", "--d-head", "16", "--causal")
    dsasim("trace", "synth", "--pattern", "top_k", "--qkv", *shape, "--out", "t.safetensors")
    missing = dsasim("run", "dsa-decoupled", "t.safetensors")
    assert (missing.status, "`dsasim trace fit-predictor` makes them" in missing.err) == (2, True)
    made = dsasim("trace", "fit-predictor", "t.safetensors", "--sigma", "0.5", "--sigma", "0.25")
    assert made.out == "wrote t-fitted.safetensors: sigma 0.25, 0.5, no position columns\n"
    assert "(fitted_on: self): expect less on unseen input" in made.err
    assert "needs --rotary-base" in made.err
    run = dsasim("run", "dsa-decoupled", "t-fitted.safetensors")
    assert (run.status, "the predictor was fitted on this very trace" in run.out) == (0, True)
    again = dsasim("trace", "fit-predictor", "t.safetensors", "--rotary-base", "1e4", "--out", "r.safetensors")
    assert again.out == "wrote r.safetensors: sigma 0.25, position columns of rotary base 10000\n"
    assert "needs --rotary-base" not in again.err


BAD = {
    "compare shapes": (("compare", "minilm-l128", "smollm2-l512"), "layer 4 has num_heads 12 in minilm-l128 and 9"),
    "compare method": (("compare", "minilm-l128", "minilm-l128", "--method", "magic"), "predictor.method"),
    "compare design": (("compare", "minilm-l128", "dsa-edge"), "'dsa-edge' is a design, not a trace"),
    "plot": (("compare", "minilm-l128", "minilm-l128", "--plot", "no/f.svg"), "--plot no/f.svg: cannot be written"),
    "fit twice": (("fit-predictor", "minilm-l128", "--out", "t.safetensors"), "has a predictor for sigma 0.25"),
    "fit sigma": (("fit-predictor", "minilm-l128", "--sigma", "2", "--out", "t.safetensors"), "--sigma 2: expected"),
    "fit a design": (("fit-predictor", "dsa-edge"), "'dsa-edge' is a design, not a trace"),
    "share": (
        ("synth", "--pattern", "window", "--density", "ten", "--out", "t.safetensors"),
        "--density ten: expected",
    ),
    "no share": (("synth", "--pattern", "window", "--density", "0", "--out", "t.safetensors"), "above 0 and at most 1"),
    "no scores": (("synth", "--pattern", "window", "--qkv", "--out", "t.safetensors"), "looks at no scores"),
    "synth queries": (
        ("synth", "--pattern", "window", "--length", "4", "--queries", "5", "--out", "t.safetensors"),
        "5 queries cannot be the last of 4 positions",
    ),
    "unknown": (("info", "nowhere"), "nowhere"),
    "design": (("info", "dsa-edge"), "'dsa-edge' is a design, not a trace"),
    "design file": (("info", "x.yaml"), "a YAML design where a trace"),
    "missing": (("info", "x.safetensors"), "no such file"),
    "text": (("info", __file__), "not a trace"),
    "mask missing": (("import-mask", "x.npy", "--d-head", "8", "--out", "t.safetensors"), "x.npy"),
    "mask is text": (("import-mask", __file__, "--d-head", "8", "--out", "t.safetensors"), "not a NumPy array file"),
    "unwritable": (
        ("import-mask", "x.npy", "--d-head", "8", "--out", "no/t.safetensors"),
        "--out no/t.safetensors: cann",
    ),
    "stdout": (("import-mask", "x.npy", "--d-head", "8", "--out", "-"), "a trace is written to a file"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_message_and_status_2(
    dsasim: Callable, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dsasim("trace", *arguments)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_masks_of_two_inputs_are_compared(dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in ("0", "1"):
        shape = ("--length", "64", "--heads", "3", "--layers", "2", "--d-head", "16", "--density", "0.25")
        dsasim("trace", "synth", "--pattern", "random", *shape, "--seed", seed, "--out", f"s{seed}.safetensors")
    done = dsasim("trace", "compare", "s0.safetensors", "s1.safetensors", "--json", "o.json", "--plot", "o.svg")
    assert (done.status, done.err) == (0, "")
    assert "masks of s0 (synthetic) and s1 (synthetic), given" in done.out
    assert "s1: synthetic: random masks mislead" in done.out
    assert max(map(len, done.out.split("\n"))) <= 100
    result = json.loads(Path("o.json").read_text(encoding="utf-8"))
    assert (result["method"], result["density"], result["a"]["kind"]) == ("given", None, "synthetic")
    assert result["chance_iou_ratio"] == pytest.approx(0.25 / 1.75)
    assert result["iou_ratio"] == pytest.approx(0.25 / 1.75, abs=0.03)
    assert [len(layer["heads"]) for layer in result["layers"]] == [3, 3]
    drawn = ET.parse("o.svg").getroot()
    titles = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}title")]
    figure = f"{result['layers'][1]['heads'][2]['iou_ratio']:.3f}"
    assert any(title.startswith(f"layer 1 head 2: IoU {figure}") for title in titles)
    assert len(titles) == 1 + 6
    printed = dsasim("trace", "compare", "s0.safetensors", "s1.safetensors", "--json", "-")
    assert printed.out == Path("o.json").read_text(encoding="utf-8")


def test_a_design_or_a_method_makes_the_masks(dsasim: Callable) -> None:
    arguments = ("trace", "compare", "minilm-l128", "minilm-l128")
    exact = dsasim(*arguments, "--density", "0.05")
    assert "oracle_topk" in exact.out
    assert "5.5 %" in exact.out  # 7 of 128 keys
    predicted = dsasim(*arguments, "--method", "dsa2021", "--arch", "dsa-edge", "--set", "mask_generator.density=0.2")
    assert "dsa2021" in predicted.out
    assert "20.3 %" in predicted.out  # 26 of 128 keys; --set has the last word


def test_provenance_of_layers_is_a_line_each(dsasim, tmp_path):
    from dsasim.trace.arrays import LayerArrays
    from dsasim.trace.store import write_trace

    zeros = np.zeros((1, 2, 4), np.float32)
    layer = LayerArrays(0, zeros, zeros, zeros, np.zeros((2, 4), np.float32), causal=False, scale=0.5)
    said = {"attention": "decode", "module": "blocks.0.attn", "number": 0}
    about = {"layers": [said], "notes": [], "versions": {"torch": "2.13.0"}}
    path = tmp_path / "t.safetensors"
    write_trace(path, [layer], kind="real", model="m", provenance=about)
    lines = [line.strip() for line in dsasim("trace", "info", str(path)).out.splitlines()]
    assert any(line.split(maxsplit=1) == ["layers", "decode, blocks.0.attn, 0"] for line in lines)
    assert any(line.split(maxsplit=1) == ["versions", "torch 2.13.0"] for line in lines)
    assert not any(line.startswith("notes") for line in lines)
    assert any(line.split() == ["0", "1", "1", "2", "2", "4", "4", "decode", "none"] for line in lines)
