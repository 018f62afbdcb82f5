"""Every file that is no good says so in one line that begins with its path."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from dsasim.errors import TraceError
from dsasim.trace.store import open_trace, trace_in_memory, verify_digest, write_trace


def refused(path, read=open_trace):
    """The message without the path it begins with."""
    with pytest.raises(TraceError) as error:
        read(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: not a trace"),
        (b"short", "not a trace: it does not begin like a safetensors file"),
        (b"a text file, longer than eight bytes", "not a trace: it does not begin like a safetensors file"),
        (b"\x07\0\0\0\0\0\0\0{}", "truncated: a header of 7 bytes is announced, the file has 10"),
        (b"\x04\0\0\0\0\0\0\0{} x", "not a trace: its safetensors header is not JSON: line 1 column 4: extra data"),
        (b"\x04\0\0\0\0\0\0\0[  ]", "not a trace: its safetensors header is not a JSON object"),
        (b"\x02\0\0\0\0\0\0\0{}", "a safetensors file without the metadata key 'dsasim': not a dsasim trace"),
    ],
)
def test_files_that_are_not_traces(content, message, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    assert refused(path) == message


def test_missing_files_and_folders(tmp_path):
    assert refused(tmp_path / "absent.safetensors") == "cannot be read: no such file or directory"
    assert refused(tmp_path) == "is a folder, not a trace"


def test_a_truncated_file(make_layer, write):
    path = write(make_layer())
    path.write_bytes(path.read_bytes()[:-5])
    assert re.fullmatch(r"truncated: layer\.3\.\w+ ends at byte \d+ of \d+", refused(path))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F16"}, "q: its header entry is not a safetensors tensor"),
        ({"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}, "q: type BF16 is not one of F16, F32, I8, U8, I32"),
        (
            {"dtype": "F16", "shape": [-1], "data_offsets": [0, 2]},
            "q: its shape and its offsets are not all whole numbers from 0",
        ),
        ({"dtype": "F16", "shape": [3], "data_offsets": [0, 2]}, "q: offsets 0 to 2 do not hold F16 of shape [3]"),
        (
            {"dtype": "F16", "shape": [1], "data_offsets": [-2, 0]},
            "q: its shape and its offsets are not all whole numbers from 0",
        ),
    ],
)
def test_headers_that_contradict_themselves(entry, message, tmp_path):
    header = json.dumps({"q": entry}).encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    assert refused(path) == message


def metadata(**changes):
    return lambda tensors, metadata: metadata.update(changes)


def of_layer(**changes):
    return lambda tensors, metadata: metadata["layers"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (metadata(format_version=3), "format_version 3; this dsasim reads 1 and 2"),
        (metadata(format_version="1"), "format_version '1'; this dsasim reads 1 and 2"),
        (metadata(format_version=True), "format_version True; this dsasim reads 1 and 2"),
        (metadata(kind="dream"), "metadata: kind: Input should be 'real', 'synthetic' or 'mask'"),
        (metadata(layers=[]), "metadata: layers: List should have at least 1 item after validation, not 0"),
        (metadata(speed=1), "metadata: speed: Extra inputs are not permitted"),
        (lambda tensors, metadata: metadata.pop("model"), "metadata: model: Field required"),
        (lambda tensors, metadata: metadata["layers"].append(metadata["layers"][0]), "metadata: layer 3 stands twice"),
        (of_layer(num_kv_heads=3), "metadata: layers.0: num_kv_heads 3 does not divide num_heads 4"),
        (of_layer(num_kv_heads=0), "metadata: layers.0.num_kv_heads: Input should be greater than or equal to 1"),
        (of_layer(num_heads=2.5), "metadata: layers.0.num_heads: Input should be a valid integer"),
        (of_layer(L_q="10"), "metadata: layers.0.L_q: Input should be a valid integer"),
        (of_layer(scale=-1.0), "metadata: layers.0.scale: Input should be greater than 0"),
        (
            of_layer(scale=-1.0, L_q=0),
            "metadata: layers.0.L_q: Input should be greater than or equal to 1 (and 1 more)",
        ),
    ],
)
def test_metadata_that_means_nothing(change, message, broken):
    assert refused(broken(change)) == message


def tensor(name, array):
    return lambda tensors, metadata: tensors.update({name: array})


def zeros(*shape, dtype=np.float16):
    return np.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (tensor("layer.3.q", zeros(4, 10, 7)), "layer.3.q has shape [4, 10, 7]; expected [4, 10, 8]"),
        (tensor("layer.3.k", zeros(4, 10, 8)), "layer.3.k has shape [4, 10, 8]; expected [2, 10, 8]"),
        (tensor("layer.3.x_q", zeros(10)), "layer.3.x_q has shape [10]; expected [10, 12]"),
        (tensor("layer.3.x_kv", zeros(9, 12)), "layer.3.x_kv has shape [9, 12]; expected [10, 12]"),
        (tensor("layer.3.bias", zeros(2, 10, 10)), "layer.3.bias has shape [2, 10, 10]; expected [4, 10, 10]"),
        (tensor("layer.3.allowed", zeros(10, 10)), "layer.3.allowed has shape [10, 10]; expected [10, 2]"),
        (tensor("layer.3.keep", zeros(4, 10, 2)), "layer.3.keep is float16; expected uint8"),
        (tensor("layer.3.v", zeros(2, 10, 8, dtype=np.int32)), "layer.3.v is int32; expected float16 or float32"),
        (tensor("layer.3.out", zeros(4, 2, 8)), "tensor layer.3.out_rows is missing"),
        (tensor("layer.4.q", zeros(1)), "tensor layer.4.q is not described by the metadata"),
        (lambda tensors, metadata: tensors.pop("layer.3.v"), "tensor layer.3.v is missing"),
    ],
)
def test_tensors_that_do_not_fit_the_metadata(change, message, broken):
    assert refused(broken(change)) == message


def test_keys_of_other_length_need_their_own_input(broken, make_layer):
    path = broken(lambda tensors, metadata: tensors.pop("layer.3.x_kv"), layer=make_layer(L_k=6))
    assert refused(path) == "tensor layer.3.x_kv is missing"


def test_sampled_rows_outside_the_queries(broken, make_layer):
    def change(tensors, metadata):
        tensors["layer.3.out_rows"] = np.full((4, 2), 10, dtype=np.int32)

    layer = make_layer(out_rows=np.zeros((4, 2), dtype=int), out=np.zeros((4, 2, 8)))
    assert refused(broken(change, layer=layer)) == "layer.3.out_rows names a row outside 0 to 9"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("w_q", zeros(4, 5, 2), "layer.3.sigma.0.25.w_q has shape [4, 5, 2]; expected [4, 6, 2]"),
        ("w_k", zeros(2, 6, 1), "layer.3.sigma.0.25.w_k has shape [2, 6, 1]; expected [2, 6, 2]"),
        ("others_k", zeros(10, 1), "layer.3.sigma.0.25.others_k has shape [10, 1]; expected [10, 2]"),
        ("positions", zeros(9, 1), "layer.3.sigma.0.25.positions has shape [9, 1]; expected [10, 1]"),
        (
            "projection",
            zeros(12, 3, dtype=np.int8),
            "layer.3.sigma.0.25.projection has shape [12, 3]; expected [2, 12, 1]",
        ),
        (
            "scale.4.q",
            zeros(3),
            "layer.3.sigma.0.25.scale.4.q has shape [3]; expected [4]",
        ),
        (
            "scale.4.x",
            zeros(1, dtype=np.int32),
            "layer.3.sigma.0.25.scale.4.x is int32; expected float16 or float32",
        ),
    ],
)
def test_predictor_arrays_that_do_not_fit(name, array, message, broken, make_layer, make_fit):
    layer = make_layer(predictors=(make_fit(),))
    assert refused(broken(tensor(f"layer.3.sigma.0.25.{name}", array), layer=layer)) == message


def test_queries_whose_positions_are_not_the_last_of_the_keys(make_layer, make_fit, write):
    fit = make_fit()
    fit.extra_q[0, 0] += 1
    message = r"^sigma 0\.25: the queries' position columns are not the last of the keys'$"
    with pytest.raises(TraceError, match=message):
        write(make_layer(predictors=(fit,)))


def test_predictors_that_lack_a_tensor(broken, make_layer, make_fit):
    def change(tensors, metadata):
        del metadata["layers"][0]["predictors"]["0.25"]["tensors"]["positions"]

    assert refused(broken(change, layer=make_layer(predictors=(make_fit(),)))) == (
        "metadata: layers.0.predictors.0.25: tensors are others_k, others_q, projection, w_k, w_q; "
        "expected projection, w_q, w_k, positions, others_q, others_k"
    )


def test_predictors_that_lack_a_scale(broken, make_layer, make_fit):
    def change(tensors, metadata):
        del metadata["layers"][0]["predictors"]["0.25"]["scales"]["4"]["xp"]

    assert refused(broken(change, layer=make_layer(predictors=(make_fit(),)))) == (
        "metadata: layers.0.predictors.0.25: scales of 4 bits are k, q, w_k, w_q, x; expected x, xp, w_q, w_k, q, k"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named_when_read(value, broken):
    def change(tensors, metadata):
        tensors["layer.3.k"][1, 4, 2] = value

    layer = open_trace(broken(change)).layer(3)
    layer.k(0)
    assert refused(layer.source.path, lambda path: layer.k(1)) == "layer.3.k head 1 at [4, 2] is NaN or Inf"


@pytest.mark.parametrize("at", [0, 6, 7, 8, 13, 79])
def test_a_value_that_is_not_finite_is_found_wherever_it_is(at, make_layer, monkeypatch):
    """Values are looked at 7 at a time: k has 2 heads of 10 x 8, the 7 first of which are one look."""
    monkeypatch.setattr("dsasim.trace.tensors.CHECKED_AT_A_TIME", 7)
    layer = make_layer()
    layer.k[1].reshape(-1)[at] = np.nan
    with pytest.raises(TraceError, match=rf"layer\.3\.k head 1 at \[{at // 8}, {at % 8}\] is NaN or Inf"):
        trace_in_memory("small", [layer], dtype="float32")


def test_a_value_that_is_not_finite_in_a_matrix(broken):
    def change(tensors, metadata):
        tensors["layer.3.x_q"][4, 2] = np.nan

    layer = open_trace(broken(change)).layer(3)
    assert refused(layer.source.path, lambda path: layer.x_q()) == "layer.3.x_q at [4, 2] is NaN or Inf"


def test_an_edited_file_is_found_by_its_digest(broken):
    def change(tensors, metadata):
        tensors["layer.3.k"][1, 4, 2] += 1

    message = refused(broken(change, redigest=False))
    assert re.fullmatch(
        r"content has sha256 \w{12}…, the metadata says \w{12}…: the file was damaged or edited", message
    )


def test_an_edited_file_with_a_nan_says_where_it_is(broken):
    def change(tensors, metadata):
        tensors["layer.3.k"][1, 4, 2] = np.nan

    assert refused(broken(change, redigest=False)) == "layer.3.k head 1 at [4, 2] is NaN or Inf"


def test_a_large_file_is_opened_unhashed_and_verified_on_demand(broken, monkeypatch):
    def change(tensors, metadata):
        tensors["layer.3.k"][1, 4, 2] += 1

    monkeypatch.setattr("dsasim.trace.store.VERIFIED_BELOW_BYTES", 0)
    trace = open_trace(broken(change, redigest=False))
    assert "damaged or edited" in refused(trace.layer(3).source.path, lambda path: verify_digest(trace))


def test_writing_refuses_what_reading_would(make_layer, tmp_path):
    layer = make_layer()
    layer.q[0, 0, 0] = np.nan
    with pytest.raises(TraceError, match=r"layer\.3\.q head 0 at \[0, 0\] is NaN or Inf$"):
        write_trace(tmp_path / "t.safetensors", [layer], kind="real", model="", provenance={})
    assert list(tmp_path.iterdir()) == []


def test_values_beyond_float16_ask_for_float32(make_layer, write):
    layer = make_layer()
    layer.x_q[0, 0] = 1e5
    with pytest.raises(TraceError, match=r"^layer\.3\.x_q: 100000 does not fit float16$"):
        write(layer)
    assert open_trace(write(layer, dtype="float32")).layer(3).x_q()[0, 0] == 1e5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"q": np.zeros((10, 8))}, "layer.3.q has shape [10, 8]; expected 3 axes"),
        ({"k": np.zeros((2, 10, 8), dtype=complex)}, "layer.3.k is complex128; expected real numbers"),
        ({"v": [[[1.0]]]}, "layer.3.v: list; expected a NumPy array"),
        ({"v": None}, "layer.3.v: NoneType; expected a NumPy array"),
        ({"keep": np.ones((4, 10, 10))}, "layer.3.keep is float64; expected booleans"),
        (
            {"out_rows": np.zeros((4, 2)), "out": np.zeros((4, 2, 8))},
            "layer.3.out_rows is float64; expected whole numbers",
        ),
        ({"number": np.int64(3)}, "layer 3: number is a NumPy int64; expected a plain Python value"),
        ({"scale": np.float32(1)}, "layer 3: scale is a NumPy float32; expected a plain Python value"),
        ({"causal": np.True_}, "layer 3: causal is a NumPy bool; expected a plain Python value"),
    ],
)
def test_arrays_and_numbers_of_the_wrong_kind(fields, message, make_layer, write):
    with pytest.raises(TraceError, match=f"^{re.escape(message)}$"):
        write(replace(make_layer(), **fields))


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.int64(1), "not JSON serializable"), (math.nan, "JSON compliant"), ({1j: 2}, "keys must be")],
)
def test_provenance_that_json_cannot_hold(value, message, make_layer, tmp_path):
    with pytest.raises(TraceError, match=f"^t: metadata that JSON cannot hold: .*{message}"):
        write_trace(tmp_path / "t.safetensors", [make_layer()], kind="real", model="", provenance={"a": value})


@pytest.mark.parametrize("text", ["a\x1b[31mred", "a\x00", "a\rb"])
def test_text_that_a_terminal_would_obey_or_cannot_print(text, make_layer, broken, tmp_path):
    def change(tensors, metadata):
        metadata["model"] = text

    expected = f"model holds the character {re.sub('[ab]', '', text)[0]!a}, which cannot be printed"
    assert refused(broken(change)) == f"metadata: {expected}"
    expected = r"(provenance\S* holds the character '\S+', which|JSON cannot hold: the key '\S+') cannot be printed$"
    for provenance in ({"a": {"b": [text]}}, {"a": {text: 1}}):
        with pytest.raises(TraceError, match=f"metadata.* {expected}"):
            write_trace(tmp_path / "t.safetensors", [make_layer()], kind="real", model="", provenance=provenance)


def test_half_a_character_is_neither_read_nor_written(make_layer, broken, tmp_path):
    def change(tensors, metadata):
        metadata["model"] = "\ud800"

    assert refused(broken(change)) == "metadata is not JSON: half a surrogate pair, which is no character"
    for facts in ({"model": "\ud800", "provenance": {}}, {"model": "", "provenance": {"a": "\ud800"}}):
        with pytest.raises(TraceError, match=r"^t: metadata that JSON cannot hold: half a surrogate pair"):
            write_trace(tmp_path / "t.safetensors", [make_layer()], kind="real", **facts)


def test_an_infinite_bias_is_told_where_forbidden_keys_belong(make_layer, write):
    bias = np.zeros((1, 10, 10))
    bias[0, 3, 4] = -np.inf
    message = "layer.3.bias head 0 at [3, 4] is NaN or Inf: a key that may not be attended to belongs in `allowed`, not"
    with pytest.raises(TraceError, match=re.escape(message)):
        write(make_layer(bias=bias))


def test_a_row_of_a_bias_that_is_not_finite_is_named_by_its_own_number(broken, make_layer):
    def change(tensors, metadata):
        tensors["layer.3.bias"][2, 6, 1] = np.nan

    layer = open_trace(broken(change, layer=make_layer(bias=np.zeros((4, 10, 10))))).layer(3)
    assert layer.bias(2, 0, 6).shape == (6, 10)
    message = refused(layer.source.path, lambda path: layer.bias(2, 5, 2))
    assert message.startswith("layer.3.bias head 2 at [6, 1] is NaN or Inf")


def test_a_place_that_cannot_be_written(make_layer, tmp_path):
    path = tmp_path / "absent" / "t.safetensors"
    with pytest.raises(TraceError, match=re.escape(f"{path}: cannot be written")):
        write_trace(path, [make_layer()], kind="real", model="", provenance={})


def test_a_mask_trace_holds_no_tensors(make_layer, broken):
    def change(tensors, metadata):
        metadata["kind"] = "mask"

    keep = np.ones((4, 10, 10), dtype=bool)
    assert refused(broken(change, layer=make_layer(keep=keep))) == "tensor layer.3.k is not described by the metadata"
