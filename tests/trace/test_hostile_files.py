"""Files made to hurt: pipes, loops, names that cannot be printed, headers that claim what is not there."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsasim.errors import TraceError
from dsasim.trace.find import find_trace
from dsasim.trace.masks import import_mask
from dsasim.trace.store import open_trace, write_trace
from dsasim.trace.tensors import MAX_HEADER_BYTES, MappedTensors


def refusal(path: Path, read: Callable[[Path], object] = open_trace) -> str:
    """What is said of a file, after its name."""
    with pytest.raises(TraceError) as error:
        read(path)
    assert error.value.exit_status == 2
    assert str(error.value).isprintable()
    return str(error.value).partition(": ")[2]


def header(text: str | bytes, data: bytes = b"") -> bytes:
    """A safetensors file of this header."""
    encoded = text if isinstance(text, bytes) else text.encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def entry(begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header('{"q": {}, "q": {}}'), "its safetensors header is not JSON: the key 'q' stands twice"),
        (header('{"q": NaN}'), "its safetensors header is not JSON: NaN is no number in JSON"),
        (header('{"q": ' + "[" * 975 + "]" * 975 + "}"), "more than 64 brackets within each other"),
        (header(b'{"q\xff": 1}'), "its safetensors header is not JSON: 'utf-8' codec can't decode"),
        (header('{"\\ud800": 1}'), r"the key '\ud800' cannot be printed"),
        (header('{"__metadata__": {"dsasim": 5}}'), "__metadata__ in its safetensors header does not map text to text"),
        (header('{"__metadata__": []}'), "__metadata__ in its safetensors header does not map text to text"),
        (header(json.dumps({"q\x1b": entry(0, 1)}), b"."), r"the key 'q\x1b' cannot be printed"),
        (header(json.dumps({"q": entry(0, 1) | {"more": 1}}), b"."), "its header entry is not a safetensors tensor"),
        (header(json.dumps({"q": entry(0, 1) | {"shape": [True]}}), b"."), "are not all whole numbers from 0"),
        (header(json.dumps({"q": entry(0, 2), "k": entry(1, 3)}), b"..."), "damaged: k overlaps another tensor"),
        (
            header(json.dumps({"q": entry(0, 2), "k": entry(3, 4)}), b"...."),
            "leaves bytes before it that are no tensor's",
        ),
        (header(json.dumps({"q": entry(0, 2)}), b"...."), "damaged: 2 bytes after the last tensor are no tensor's"),
        ((MAX_HEADER_BYTES + 1).to_bytes(8, "little"), "it does not begin like a safetensors file"),
    ],
)
def test_headers(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    assert message in refusal(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format_version": 1, "provenance": {"a": NaN}}', "metadata is not JSON: NaN is no number in JSON"),
        ('{"format_version": 1, "a": ' + "[" * 975 + "]" * 975 + "}", "metadata is not JSON: more than 64 brackets"),
        ('{"format_version": 1, "format_version": 1}', "metadata is not JSON: the key 'format_version' stands twice"),
        ('{"format_version": 1e999}', "metadata is not JSON: the number 1e999 is larger than a double"),
        (
            '{"format_version": "\\u001b[31m' + "a" * 10_000 + '"}',
            r"format_version '\x1b[31maaaa...aaaaaaaaaaaaa'; this",
        ),
        ("[1]", "metadata is not a JSON object"),
    ],
)
def test_metadata(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(header(json.dumps({"__metadata__": {"dsasim": text}})))
    assert message in refusal(path)


def test_one_sigma_in_two_spellings(broken: Callable, make_layer: Callable, make_fit: Callable) -> None:
    def twice(_tensors: dict, metadata: dict) -> None:
        fits = metadata["layers"][0]["predictors"]
        fits["0.250"] = fits["0.25"]

    path = broken(twice, layer=make_layer(predictors=(make_fit(),)))
    assert refusal(path) == "metadata: layers.0.predictors: two of its keys are one number"


def test_predictors_without_columns(broken: Callable, make_layer: Callable, make_fit: Callable) -> None:
    def flatten(tensors: dict, _metadata: dict) -> None:
        for name in ("w_q", "w_k"):
            tensors[f"layer.3.sigma.0.25.{name}"] = tensors[f"layer.3.sigma.0.25.{name}"][..., :0].copy()

    layer = make_layer(predictors=(make_fit(),))
    assert "layer.3.sigma.0.25.w_q has no columns" in refusal(broken(flatten, layer=layer))


def test_pipes_devices_loops_and_names_that_the_system_refuses(tmp_path: Path) -> None:
    pipe, loop = tmp_path / "pipe.safetensors", tmp_path / "loop.safetensors"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    cases = {
        pipe: "is a pipe or a device, not a trace",
        loop: "cannot be read: too many levels of symbolic links",
        Path("/dev/zero"): "is a pipe or a device, not a trace",
        Path("a" * 5000 + ".safetensors"): "cannot be read: file name too long",
        tmp_path / "a\0.safetensors": r"a trace is called by its file, whose name holds '\x00': rename the file",
        tmp_path / "\0" / "a.safetensors": "cannot be read: embedded null byte",
    }
    for path, message in cases.items():
        assert refusal(path, lambda path: open_trace(find_trace(path))) == message


def test_a_folder_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked" / "t.safetensors"

    def forbidden(_path: object, *_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", forbidden)  # tests may run as root, who may enter
    monkeypatch.setattr(os, "open", forbidden)
    assert refusal(path, lambda path: open_trace(find_trace(path))) == "cannot be read: permission denied"


def test_more_positions_than_anyone_waits_for(broken: Callable) -> None:
    def claim(_tensors: dict, metadata: dict) -> None:
        metadata["layers"][0] |= {"L_q": 1 << 22, "L_k": 1 << 22}

    assert refusal(broken(claim)) == (
        "metadata: layers.0: 70,368,744,177,664 positions (num_heads x L_q x L_k), more than 4,398,046,511,104"
    )


UNSPEAKABLE = [b"a\xff", b"a\x1b[31m", b"a\nb", "a\u202eb".encode()]
"""Names of files: not UTF-8, an escape sequence, two lines, text that runs backwards."""


@pytest.mark.parametrize("name", UNSPEAKABLE)
def test_a_trace_whose_name_no_result_could_hold(name: bytes, write: Callable, make_layer: Callable) -> None:
    path = write(make_layer())
    renamed = Path(os.fsdecode(os.fsencode(path.parent) + b"/" + name + b".safetensors"))
    path.rename(renamed)
    assert refusal(renamed).endswith("rename the file")
    assert refusal(
        renamed, lambda path: write_trace(path, [make_layer()], kind="real", model="", provenance={})
    ).endswith("rename the file")


def test_such_a_name_is_refused_before_a_run_and_before_a_trace_is_made(dsasim: Callable, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.safetensors")
    Path(name).write_bytes(find_trace("minilm-l128").read_bytes())
    for command in (("run", "dsa-edge", name), ("trace", "synth", "--pattern", "window", "--out", name)):
        done = dsasim(*command)
        assert (done.status, done.out) == (2, "")
        assert "a trace is called by its file" in done.err


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a" * 5000 + ".safetensors", "loop.yaml", "loop/x.safetensors", "n\ud800"]
)
@pytest.mark.parametrize("command", ["run dsa-edge", "run", "sweep", "trace info", "trace fit-predictor", "arch check"])
def test_names_that_lead_nowhere_are_bad_input(
    command: str, name: str, dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.yaml").symlink_to("loop.yaml")
    Path("loop").symlink_to("loop")
    done = dsasim(*command.split(), name)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("place", ["loop", "nul\0"])
def test_a_place_that_no_trace_can_be_written_to(place: str, make_layer: Callable, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    path = tmp_path / place / "t.safetensors"
    assert "cannot be written" in refusal(
        path, lambda path: write_trace(path, [make_layer()], kind="real", model="", provenance={})
    )


def test_provenance_is_written_as_it_is_read(write: Callable, make_layer: Callable) -> None:
    path = write(make_layer(), provenance={2: "two", 10: ("ten", 10)})
    assert open_trace(path).meta.provenance == {"2": "two", "10": ["ten", 10]}


def test_provenance_too_deep_to_be_read_is_not_written(write: Callable, make_layer: Callable) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(TraceError, match=r"^small: metadata that JSON cannot hold: more than 64 brackets"):
        write(make_layer(), provenance={"deep": deep})


def npy(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """A .npy file of this header."""
    encoded = text.encode() + b"\n"
    return b"\x93NUMPY" + version + len(encoded).to_bytes(2 if version == b"\1\0" else 4, "little") + encoded + data


def described(shape: str, descr: str = "'|b1'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


ONES = bytes([1] * 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(described("(True, 2, 2, 2)"), ONES), "its header is not {'descr': …"),
        (npy("-" * 9000, ONES), "its header is not {'descr': …"),
        (npy("{" + "(" * 900, ONES), "its header is not {'descr': …"),
        (npy("-" * 10_000, ONES), "a header of 10,001 bytes, more than 10,000"),
        (
            npy(described("(1, 2, 2, 2)"), ONES + b"."),
            "shape [1, 2, 2, 2] of bool takes 8 bytes, and 9 follow the header",
        ),
        (npy(described("(1, 2, 2, 3)"), ONES), "shape [1, 2, 2, 3] of bool takes 12 bytes, and 8 follow the header"),
        (npy(described("(1, 1, 2, 2)"), ONES), "shape [1, 1, 2, 2] of bool takes 4 bytes, and 8 follow the header"),
        (npy(described("(1, 2, 2, 2)", "[('a', '|b1')]"), ONES), "its header is not {'descr': …"),
        (npy(described("(1, 2, 2, 2)", "'|b'"), ONES), "type int8; a mask is bool"),
        (npy(described("(1, 2, 2, 2)", "'|q7'"), ONES), "|q7 is no element of NumPy's"),
        (npy(described("(1, 2, 2, 2)", "'|S0'"), ONES), "|S0 is an element without bytes"),
        (npy(described("(1, 2, 2, 2)", "'|b1, |b1'"), ONES), "its header's descr is no plain element of NumPy's"),
        (npy(described("(1, 2, 2, 2)", "'|O'"), ONES), "it holds Python objects, which are not unpickled"),
        (npy(described("(1, 2, 2, 2)", order="'False'"), ONES), "fortran_order is neither True nor False"),
        (npy(described("(1 2, 2, 2)"), ONES), "its header's shape is not a tuple of sizes"),
        (npy(described("(1, 2, 2, 02)"), ONES), "its header's shape is not a tuple of sizes"),
        (npy(described("(8)"), ONES), "its header's shape is not a tuple of sizes"),
        (npy(described("(" + "1, " * 100 + ")"), b"\1"), "NumPy has no arrays of 100 axes and such extents"),
        (npy(described("(0, " + "99999999999, " * 3 + ")")), "axes and such extents"),
        (npy(described("(1, 2, 2, 2)"), ONES, b"\7\0"), "format version 7.0 is none of 1.0, 2.0, 3.0"),
        (b"\x93NUMPY\1\0", "it ends within its header"),
        (npy(described("(1, 2, 2, 2)"), ONES)[:50], "it ends within its header"),
        (
            npy(described("(1, 2, 2, 2)"), ONES[:7] + b"\2"),
            "a byte of layer 0 head 1 is neither 0 nor 1, so not a boolean",
        ),
    ],
)
def test_npy_headers(content: bytes, message: str, tmp_path: Path) -> None:
    path, out = tmp_path / "m.npy", tmp_path / "t.safetensors"
    path.write_bytes(content)
    assert message in refusal(path, lambda path: import_mask(path, 8, out))
    assert not out.exists()


@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
@pytest.mark.parametrize(
    "text",
    [
        described("(1, 2, 2, 2)"),
        '{"shape": (1L, 2L, 2L, 2L), "descr": "?", "fortran_order": False}',
        "{ 'fortran_order':False ,'descr':'|b1','shape':( 1 ,2,2,2,) } ",
    ],
)
def test_npy_headers_of_other_writers(text: str, version: bytes, tmp_path: Path) -> None:
    path, out = tmp_path / "m.npy", tmp_path / "t.safetensors"
    path.write_bytes(npy(text, ONES, version))
    import_mask(path, 8, out)
    assert open_trace(out).layer(0).L_k == 2


def test_masks_in_the_order_of_fortran(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).random((2, 2, 5, 9)) < 0.4
    for name, order in (("c", "C"), ("f", "F")):
        np.save(tmp_path / f"{name}.npy", np.array(masks, order=order))
        import_mask(tmp_path / f"{name}.npy", 8, tmp_path / f"{name}.safetensors")
    c, f = (MappedTensors(tmp_path / f"{name}.safetensors") for name in "cf")
    assert all(np.array_equal(c.raw(name), f.raw(name)) for name in c)


def test_a_pipe_of_masks_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        message = refusal(path, lambda path: import_mask(path, 8, tmp_path / "t.safetensors"))
        assert message.startswith(("is a pipe or a device, not a NumPy", "is a folder, not a NumPy"))
    np.save(tmp_path / os.fsdecode(b"a\xff.npy"), np.ones((1, 1, 2, 2), np.bool_))
    import_mask(tmp_path / os.fsdecode(b"a\xff.npy"), 8, tmp_path / "t.safetensors")
    assert open_trace(tmp_path / "t.safetensors").meta.provenance["file"] == "a\\udcff.npy"
