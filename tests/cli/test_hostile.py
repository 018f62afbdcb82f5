"""Files and arguments made to act on a terminal: what is printed shows them, and obeys nothing."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import acts

BAD = "x\x1b[31m\x9b\r\nforged\u202e\u200b"
"""Without a slash, a NUL or half a surrogate pair: it can be the name of a file."""

YAML = r"x\e[31m\u202e\nforged"
r"""The same as it stands between quotes in YAML and JSON (`\e` is YAML's)."""

JSON = r"x\u001b[31m\u009b\u202e\nforged\u200b"


def safetensors(path: Path, tensors: str, metadata: object) -> None:
    """A file with this header and no data."""
    header = f'{{"__metadata__": {{"dsasim": {json.dumps(json.dumps(metadata))}}}{tensors}}}'.encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.fixture
def folder(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of hostile files, which is the current one."""
    design = (root / "arch_configs" / "dsa-decoupled.yaml").read_text()
    (tmp_path / "name.yaml").write_text(design.replace("name: dsa-decoupled", f'name: "{YAML}"'))
    (tmp_path / "value.yaml").write_text(design.replace("technology_nm: 22", f'technology_nm: "{YAML}"'))
    (tmp_path / "key.yaml").write_text(design + f'"{YAML}": 1\n')
    (tmp_path / "syntax.yaml").write_text(design + f'? ["{YAML}"] : *{BAD[-1]}x\n')
    (tmp_path / "fine.yaml").write_text(design)
    (tmp_path / f"{BAD}.yaml").write_text("{")
    meta = {"format_version": 1, "kind": "mask", "model": "m", "sha256": "0" * 64, "provenance": {}, "layers": []}
    layer = {"number": 0, "num_heads": 1, "num_kv_heads": 1, "L_q": 1, "L_k": 1, "d_head": 1, "d_model": 1}
    whole = meta | {"layers": [layer | {"causal": False, "scale": 1.0}]}
    slot = '{"dtype": "U8", "shape": [1, 1, 1], "data_offsets": [0, 0]}'
    safetensors(tmp_path / "tensor.safetensors", f', "{JSON}": {slot}', whole)
    safetensors(tmp_path / "type.safetensors", f', "{JSON}": {slot.replace("U8", JSON)}', whole)
    safetensors(tmp_path / "model.safetensors", "", whole | {"model": BAD})
    safetensors(tmp_path / "provenance.safetensors", "", whole | {"provenance": {"a": [{BAD: "b"}]}})
    safetensors(tmp_path / "kind.safetensors", "", meta | {"kind": BAD})
    safetensors(tmp_path / "metakey.safetensors", "", meta | {BAD: 1})
    shutil.copy(root / "traces" / "smollm2-l512.safetensors", tmp_path / f"{BAD}.safetensors")
    (tmp_path / "result.json").write_text(f'{{"{JSON}": 1, "schema_version": "{JSON}"}}')
    (tmp_path / "rows.jsonl").write_text(f'{{"point": "{JSON}", "status": "{JSON}", "{JSON}": 1}}\n')
    (tmp_path / "gpu.json").write_text(f'{{"profile_version": 1, "device": "{JSON}", "{JSON}": []}}')
    (tmp_path / "ask.csv").write_text(f"{BAD},0,0\n")
    (tmp_path / "mask.npy").write_bytes(b"\x93NUMPY\x01\x00\x40\x00{'descr': '\x1b[31m', \n" + b" " * 40)
    spec = "base: fine.yaml\ntraces: [minilm-l128]\naxes: {pe_array.lanes: [4]}\nobjectives: [cycles]\n"
    (tmp_path / f"{BAD}-spec.yaml").write_text(spec)
    for name, old, new in (
        ("axis", "pe_array.lanes", f'"{YAML}"'),
        ("group", "pe_array.lanes: [4]", f'"{YAML}": {{pe_array.lanes: [4]}}'),
        ("axis-value", "pe_array.lanes: [4]", f'name: ["{YAML}"]'),
        ("objective", "[cycles]", f'["{YAML}"]'),
        ("trace", "[minilm-l128]", f'["{YAML}", {{trace: minilm-l128, "{YAML}": 1}}]'),
        ("base", "fine.yaml", f'"{YAML}"'),
        ("strategy", "base:", f'strategy: "{YAML}"\nbase:'),
    ):
        assert old in spec
        (tmp_path / f"{name}-spec.yaml").write_text(spec.replace(old, new))
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN, OUT = ("run", "dsa-decoupled", "minilm-l128"), ("--out", "p.html")
DRAM = ("dram", "ask.csv", "--preset", "DDR4_2400", "--mapping")
CASES: dict[str, tuple[str, ...]] = {
    "design's name": ("arch", "check", "name.yaml"),
    "design's name, shown": ("arch", "show", "name.yaml"),
    "design's value": ("arch", "check", "value.yaml"),
    "design's key": ("arch", "check", "key.yaml"),
    "design's syntax": ("arch", "check", "syntax.yaml"),
    "design's file": ("arch", "check", f"{BAD}.yaml"),
    "no such design": ("arch", "check", BAD),
    "not UTF-8": ("arch", "check", os.fsdecode(b"a\xff\x1b.yaml")),
    "set, value": (*RUN, "--set", f"name={BAD}"),
    "set, quoted": (*RUN, "--set", f'name="{YAML}"'),
    "set, key": (*RUN, "--set", f"{BAD}=1"),
    "set, no key": (*RUN, "--set", BAD),
    "trace's tensor": ("trace", "info", "tensor.safetensors"),
    "trace's type": ("trace", "info", "type.safetensors"),
    "trace's model": ("trace", "info", "model.safetensors"),
    "trace's provenance": ("trace", "info", "provenance.safetensors"),
    "trace's kind": ("trace", "info", "kind.safetensors"),
    "trace's key": ("trace", "info", "metakey.safetensors"),
    "trace's file": ("trace", "info", f"{BAD}.safetensors"),
    "no such trace": ("run", "dsa-decoupled", BAD),
    "layers": (*RUN, "--layers", BAD),
    "heads": ("compare", "dsa-decoupled", "--trace", "minilm-l128", "--heads", BAD),
    "window": (*RUN, "--timeline", "t.json", "--timeline-window", BAD),
    "output": (*RUN, "--json", f"no/{BAD}/r.json"),
    "out of a trace": ("trace", "synth", "--pattern", "window", "--out", f"{BAD}.safetensors"),
    "profile": (*RUN, "--gpu-profile", "gpu.json"),
    "profile's file": (*RUN, "--gpu-profile", f"{BAD}.json"),
    "result": ("report", "result.json", *OUT),
    "result's file": ("report", f"{BAD}.json", *OUT),
    "rows": ("report", "rows.jsonl", *OUT),
    "requests": (*DRAM, "mop4"),
    "mapping": (*DRAM, BAD),
    "preset": ("dram", "ask.csv", "--preset", BAD, "--mapping", "mop4"),
    "mask": ("trace", "import-mask", "mask.npy", "--d-head", "4", "--out", "m.safetensors"),
    "sweep's file": ("sweep", f"{BAD}-spec.yaml"),
    "axis": ("sweep", "axis-spec.yaml"),
    "group": ("sweep", "group-spec.yaml"),
    "axis's value": ("sweep", "axis-value-spec.yaml"),
    "objective": ("sweep", "objective-spec.yaml"),
    "sweep's trace": ("sweep", "trace-spec.yaml"),
    "sweep's base": ("sweep", "base-spec.yaml"),
    "strategy": ("sweep", "strategy-spec.yaml"),
    "query": ("sweep", "x.yaml", "--query", BAD),
    "option": ("run", f"--{BAD}"),
    "command": (BAD,),
    "choice": (*RUN, "--scope", BAD),
    "number": (*DRAM, "mop4", "--ranks", BAD),
    "argument": (*RUN, BAD),
}


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)
def test_refused_in_words_that_do_not_act(dsasim: Callable, folder: Path, arguments: tuple[str, ...]) -> None:
    before = set(folder.iterdir())
    ended = dsasim(*arguments)
    assert ended.status == 2, ended
    assert ended.err.startswith("dsasim: error: ")
    assert not acts(ended.out + ended.err)
    assert not any(line.startswith("forged") for line in ended.err.split("\n"))
    assert set(folder.iterdir()) == before


def test_a_file_may_be_called_so_where_nothing_is_called_by_it(dsasim: Callable, folder: Path) -> None:
    """A design has a name of its own, and an output is only written."""
    shutil.copy("fine.yaml", f"{BAD}.yaml")
    ended = dsasim("arch", "check", f"{BAD}.yaml")
    assert (ended.status, ended.err) == (0, "")
    assert not acts(ended.out)
    assert ended.out.count("\n") == 1
    Path(BAD).mkdir()
    out = f"{BAD}/m.safetensors"
    ended = dsasim("trace", "synth", "--pattern", "window", "--length", "16", "--out", out)
    assert (ended.status, ended.out.count("\n")) == (0, 1)
    assert not acts(ended.out + ended.err)
    assert Path(out).exists()
