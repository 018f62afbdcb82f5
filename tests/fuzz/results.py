"""Readers of results, rows of sweeps and GPU profiles."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

from gpu_profiles import profile_of

from dsasim.baseline.gpu import AttentionShape, attention_ns
from dsasim.baseline.gpu_profile import measured_gpu, read_profile
from dsasim.report.html.inputs import read_input
from dsasim.report.html.run import run_page
from dsasim.sweep import load_sweep
from dsasim.sweep.store import RESULTS, ResultStore
from fuzz.attack import Reader

Command = Callable[..., None]


def result_readers(folder: Path, command: Command) -> tuple[Reader, ...]:
    """Readers of what dsasim writes, attacked with a run and a sweep that this makes by `command`."""
    run = ("run", "dsa-edge", str(folder / "fitted.safetensors"), "--heads", "0")
    command(*run, "--set", "predictor.method=oracle_topk", "--json", str(folder / "r.json"))
    (folder / "sweep.yaml").write_text(
        "base: base.yaml\ntraces: masks.safetensors\n"
        "axes: {pe_array.lanes: [1, 2, 4]}\nobjectives: [cycles, area_mm2]\n"
    )
    command("sweep", str(folder / "sweep.yaml"), "--out", str(folder / "rows"), "--workers", "1")
    rows = (folder / "rows" / RESULTS).read_bytes()
    result = json.dumps(json.loads((folder / "r.json").read_bytes()), indent=1).encode()
    return (
        Reader("result", "r.json", (result,), _drawn, text=True),
        Reader("rows", "r.jsonl", (rows,), _rows_of_report, text=True),
        Reader("rows of a folder", RESULTS, (rows,), _rows_of_folder, text=True),
        Reader("store", "mutant.jsonl", (rows,), _resumed, text=True, names=RESULTS, repairs=True),
        Reader("GPU profile", "g.json", (_profile(),), _profiled, text=True),
    )


def _drawn(path: Path, _seed: bytes) -> None:
    """A result that is taken can be drawn; drawing takes long, so it is done for some."""
    found = read_input(str(path))
    assert isinstance(found, dict)
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    if path.stat().st_size % 25 == 0:
        run_page(found, masks=[]).html()


def _proven(path: Path, seed: bytes) -> list[bytes]:
    """The whole lines of a file, once each of them is one of those that were written."""
    *lines, _torn = path.read_bytes().split(b"\n")
    assert set(lines) <= set(seed.split(b"\n")), "a row is taken that nobody wrote"
    return lines


def _rows_of_report(path: Path, seed: bytes) -> None:
    read_input(str(path))
    _proven(path, seed)


def _rows_of_folder(path: Path, seed: bytes) -> None:
    wanted = [json.loads(line) for line in seed.split(b"\n")[:-1]]
    assert all(row in wanted for row in load_sweep(path.parent)), "a row is taken that nobody wrote"


def _resumed(path: Path, seed: bytes) -> None:
    """A sweep goes on from a broken file: what it keeps of it is what was written."""
    folder = path.parent / "resumed"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / RESULTS)
    written = {json.loads(line)["point"]: line for line in seed.split(b"\n")[:-1]}
    sha256 = json.loads(seed.split(b"\n")[0])["sweep_sha256"]
    store = ResultStore(folder, sha256, resume=True)
    try:
        kept = (folder / RESULTS).read_bytes().split(b"\n")
        taken = [number for number in range(1000) if number in store]
        assert len(taken) == len(store), "a point is taken that the sweep has not"
        assert all(written.get(number) in kept for number in taken), "a row is taken that nobody wrote"
    finally:
        store.close()


def _profile() -> bytes:
    """An RTX-like GPU, three kernels on two shapes."""
    rows = [
        {"kernel": kernel, "L": L, "num_heads": 2, "d_head": 64, "causal": False, "density": 1.0}
        | {"median_us": us * L, "p20_us": us * L, "p80_us": us * L, "samples": 20, "trials": 3, "sm_mhz": 1980.0}
        for kernel, us in (("sdpa_flash", 1.05), ("sdpa_cudnn", 1.5), ("sdpa_math", 3.0))
        for L in (256, 1024)
    ]
    return json.dumps(profile_of(*rows), indent=1).encode()


def _profiled(path: Path, _seed: bytes) -> None:
    """A profile that is taken makes a GPU that has a time."""
    gpu = measured_gpu(read_profile(path))
    shape = AttentionShape(num_heads=2, num_kv_heads=2, L_q=512, L_k=512, d_head=64, causal=False)
    for kernel in gpu.efficiencies:
        if gpu.efficiencies[kernel]:
            time_ns = attention_ns(gpu, kernel, shape)
            assert math.isfinite(time_ns) and time_ns > 0
