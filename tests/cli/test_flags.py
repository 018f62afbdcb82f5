"""Every flag of every command does what it is there for, and a flag that is not in the table fails the test.

A row of FLAGS runs a command without a flag and with it, and looks at one thing. With the flag it must see what the row
says, or anything else than without it.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from commands_done import (
    Done,
    costs,
    ended,
    heads,
    kept,
    kept_first,
    last_event,
    layer_has,
    layers,
    masks_shown,
    measured_gpus,
    of,
    row,
    says,
    scope,
    status,
    title,
    writes,
)
from gpu_profiles import dense_row, profile_of
from ten_runs import layer

from dsasim.cli import app
from dsasim.config.keys import all_keys
from dsasim.config.loader import load_arch
from dsasim.config.resolved import arch_to_yaml
from dsasim.sweep.pool import LocalWorkers
from dsasim.trace.store import write_trace

PLAIN = ("run", "dsa-decoupled", "t.safetensors")
RUN = (*PLAIN, "--json", "-")
COMPARE = ("compare", "dsa-decoupled", "dsa-edge", "--trace", "t.safetensors")
SWEEP = ("sweep", "s.yaml")
REPORT = ("report", "run.json", "--out", "p.html")
ORDER = "row-bank-bankgroup-rank-column-channel"
DRAM = ("dram", "r.csv", "--preset", "DDR4_3200", "--mapping", ORDER, "--json", "-")
IMPORT = ("trace", "import-mask", "m.npy", "--d-head", "8", "--out", "out.safetensors")
SYNTH = ("trace", "synth", "--out", "out.safetensors", "--d-head", "8", "--length", "16", "--pattern", "random")
FIT = ("trace", "fit-predictor", "raw.safetensors", "--out", "out.safetensors")
OVERLAP = ("trace", "compare", "t.safetensors", "u.safetensors")

ELSEWHERE = {
    "validate": ("cli/test_validate.py", "cli/test_gpu_profile.py"),
    "trace evaluate": ("cli/test_evaluate.py",),
    "trace extract": ("trace/capture/test_extract.py", "cli/test_trace.py"),
}
"""Commands that run a model, and the tests that give them each of their flags."""


@dataclass(frozen=True)
class Flag:
    """`base` without and with `more`, and what `look` sees with it, where that can be said beforehand."""

    base: Sequence[str]
    more: Sequence[str]
    look: Callable[[Done], Any]
    seen: Any = None
    needs: str | None = None


def kept_in_b(done: Done) -> str:
    """The density of the second trace's masks."""
    return row("all ")(done)[-1]


def sequences(done: Done) -> int:
    """Those of the trace that was written."""
    return done.trace.num_sequences


def fitted(done: Done) -> Any:
    """The predictor of the first layer of the trace that was written."""
    return done.layer.predictor(done.layer.sigmas[-1])


SETTINGS = {
    "clock_ghz": "clock_ghz=2",
    "technology_nm": "technology_nm=45",
    "predictor": "predictor.array_rows=2",
    "mask_generator": "mask_generator.density=0.5",
    "scheduler": "scheduler.order=in_order",
    "pe_array": "pe_array.macs_per_row=1",
    "softmax": "softmax.exp_per_cycle=1",
    "buffers": "buffers.q.bytes=32768",
    "dma": "dma.outstanding_bursts=1",
    "dram": "dram.preset=HBM2",
    "cost": "cost.pe_overhead_ratio=6",
}
"""One value of every section of a design, and of every value outside one but its name."""

FLAGS: dict[str, list[Flag]] = {
    "run --set": [
        *(Flag(RUN, ("--set", setting), costs) for setting in SETTINGS.values()),
        Flag((*RUN, "--set", "clock_ghz=2"), ("--set", "clock_ghz=0.5"), of("arch", "clock_ghz"), 0.5),
    ],
    "run --layers": [Flag(RUN, ("--layers", "3"), layers, [3])],
    "run --heads": [Flag(RUN, ("--heads", "0,2"), heads, [[0, 2], [0, 2]])],
    "run --scope": [Flag(RUN, ("--scope", name), scope, (name, True)) for name in ("layer", "model")],
    "run --json": [Flag(PLAIN, ("--json", "j.json"), says('"cycles"', "j.json"), True)],
    "run --timeline": [Flag(PLAIN, ("--timeline", "t.json"), says("traceEvents", "t.json"), True)],
    "run --timeline-window": [Flag((*PLAIN, "--timeline", "t.json"), ("--timeline-window", "0:99"), last_event)],
    "run --gpu-profile": [
        Flag(RUN, ("--gpu-profile", "1.json"), measured_gpus, ["Test 1"]),
        Flag((*RUN, "--gpu-profile", "1.json"), ("--gpu-profile", "2.json"), measured_gpus, ["Test 1", "Test 2"]),
    ],
    "run --report": [Flag(PLAIN, ("--report", "p.html"), says("<h1>dsa-decoupled on t", "p.html"), True, "plotly")],
    "run --mask-heads": [
        Flag((*PLAIN, "--report", "p.html"), ("--mask-heads", "3:1"), masks_shown, ["mask-3-1"], "plotly")
    ],
    "compare --trace": [
        Flag((*COMPARE[:3], "--layers", "3"), ("--trace", "u.safetensors"), lambda done: title(done).split()[0], "u")
    ],
    "compare --set": [Flag(COMPARE, ("--set", "clock_ghz=0.5"), row("time  "))],
    "compare --layers": [
        Flag(COMPARE, ("--layers", "3"), lambda done: "1 of 2 layers: 3; 3 of 6 heads" in title(done), True)
    ],
    "compare --heads": [Flag(COMPARE, ("--heads", "1"), lambda done: "layers 0, 3; 2 of 6 heads" in title(done), True)],
    "compare --json": [Flag(COMPARE, ("--json", "j.json"), says('"runs"', "j.json"), True)],
    "sweep --out": [Flag(SWEEP, ("--out", "there"), says('"point":1', "there/results.jsonl"), True)],
    "sweep --workers": [Flag((*SWEEP, "--workers", "1"), ("--workers", "3"), says("3 started", "workers"), True)],
    "sweep --scheduler": [Flag((*SWEEP, "--workers", "1"), ("--scheduler", "tcp://x:1"), status, 2)],
    "sweep --resume": [Flag((*SWEEP, "--out", "swept"), ("--resume",), says("(0 runs in"), True)],
    "sweep --query": [
        Flag(
            (*SWEEP, "--out", "swept"),
            ("--query", "SELECT count(*) AS rows FROM points"),
            lambda done: (done.out.split()[:1], done.out.split()[-1:]),
            (["rows"], ["2"]),
            "duckdb",
        )
    ],
    "report --out": [Flag(REPORT, ("--out", "q.html"), says("<h1>", "q.html"), True, "plotly")],
    "report --trace": [Flag(REPORT, ("--trace", "t.safetensors"), masks_shown, ["mask-0-0", "mask-3-0"], "plotly")],
    "report --mask-heads": [
        Flag((*REPORT, "--trace", "t.safetensors"), ("--mask-heads", "0:2"), masks_shown, ["mask-0-2"], "plotly")
    ],
    "dram --preset": [Flag(DRAM, ("--preset", "HBM2"), of("time_ns"))],
    "dram --mapping": [Flag(DRAM, ("--mapping", "column-row-bank-bankgroup-rank-channel"), of("row_conflicts"))],
    "dram --channels": [Flag(DRAM, ("--channels", "2"), lambda done: len(done.json["channels"]), 2)],
    "dram --ranks": [Flag(DRAM, ("--ranks", "2"), of("avg_read_latency_cycles"))],
    "dram --inject": [Flag(DRAM, ("--inject", "4"), of("avg_read_latency_cycles"))],
    "dram --page": [Flag(DRAM, ("--page", "closed"), of("row_hits"))],
    "dram --refresh": [Flag((*DRAM, "--no-refresh"), ("--refresh",), of("commands", "ref"), 1)],
    "dram --no-refresh": [Flag(DRAM, ("--no-refresh",), of("commands", "ref"), 0)],
    "dram --json": [Flag(DRAM[:-2], ("--json", "j.json"), says('"latency_histogram"', "j.json"), True)],
    "dram --show": [Flag(DRAM, ("--show", "HBM3"), says("HBM3: "), True)],
    "list --json": [Flag(("list", "methods"), ("--json", "j.json"), says('"dsa2021"', "j.json"), True)],
    "explain --design": [
        Flag(("explain", "predictor.sigma"), ("--design", "nowhere.yaml"), status, 2),
    ],
    "arch show --set": [
        Flag(("arch", "show", "dsa-edge"), ("--set", "pe_array.lanes=16"), says("lanes: 16  # --set"), True)
    ],
    "arch show --resolved": [Flag(("arch", "show", "dsa-edge"), ("--resolved",), says("# "), False)],
    "arch check --set": [
        Flag(
            ("arch", "check", "dsa-edge"),
            ("--set", "dram.ranks=2", "--set", "dram.preset=HBM2"),
            status,
            2,
        )
    ],
    "trace import-mask --d-head": [Flag(IMPORT, ("--d-head", "16"), layer_has("d_head"), [16])],
    "trace import-mask --out": [Flag(IMPORT, ("--out", "o.safetensors"), writes("o.safetensors"), True)],
    "trace import-mask --causal": [Flag(IMPORT, ("--causal",), layer_has("causal"), [True])],
    "trace import-mask --kv-heads": [Flag(IMPORT, ("--kv-heads", "2"), layer_has("num_heads", "num_kv_heads"), [4, 2])],
    "trace import-mask --pruned-is-true": [
        Flag(IMPORT, ("--pruned-is-true",), kept, [list(range(row + 1, 6)) for row in range(6)])
    ],
    "trace import-mask --sample": [
        Flag((*IMPORT[:2], "batch.npy", *IMPORT[3:], "--sample", "0"), ("--sample", "1"), kept_first, 1),
        Flag((*IMPORT[:2], "batch.npy", *IMPORT[3:], "--sample", "0"), ("--sample", "all"), sequences, 2),
    ],
    "trace synth --out": [Flag(SYNTH, ("--out", "o.safetensors"), writes("o.safetensors"), True)],
    "trace synth --pattern": [Flag(SYNTH, ("--pattern", "window"), lambda done: kept(done)[0], [0, 1])],
    "trace synth --density": [Flag(SYNTH, ("--density", "0.5"), kept_first, 8)],
    "trace synth --length": [Flag(SYNTH, ("--length", "24"), layer_has("L_q", "L_k"), [24, 24])],
    "trace synth --queries": [Flag(SYNTH, ("--queries", "1"), layer_has("L_q", "L_k"), [1, 16])],
    "trace synth --layers": [Flag(SYNTH, ("--layers", "2"), lambda done: done.trace.layer_numbers, (0, 1))],
    "trace synth --heads": [Flag(SYNTH, ("--heads", "2"), layer_has("num_heads"), [2])],
    "trace synth --kv-heads": [Flag(SYNTH, ("--kv-heads", "2"), layer_has("num_heads", "num_kv_heads"), [4, 2])],
    "trace synth --d-head": [Flag(SYNTH, ("--d-head", "16"), layer_has("d_head"), [16])],
    "trace synth --causal": [Flag(SYNTH, ("--causal",), lambda done: kept(done)[0], [0])],
    "trace synth --sequences": [Flag(SYNTH, ("--sequences", "3"), sequences, 3)],
    "trace synth --seed": [Flag(SYNTH, ("--seed", "1"), kept)],
    "trace synth --block": [
        Flag((*SYNTH, "--pattern", "block", "--density", "0.3", "--length", "64"), ("--block", "8"), kept)
    ],
    "trace synth --global-keys": [
        Flag((*SYNTH, "--pattern", "global_random", "--density", "0.5"), ("--global-keys", "2"), kept)
    ],
    "trace synth --qkv": [Flag((*SYNTH, "--pattern", "top_k"), ("--qkv",), layer_has("has_qkv"), [True])],
    "trace fit-predictor --sigma": [
        Flag(FIT, ("--sigma", "0.5", "--sigma", "0.75"), lambda done: [float(sigma) for sigma in done.layer.sigmas])
    ],
    "trace fit-predictor --out": [Flag(FIT, ("--out", "o.safetensors"), writes("o.safetensors"), True)],
    "trace fit-predictor --rotary-base": [
        Flag(FIT, ("--rotary-base", "10000"), says("position columns of rotary base 10000"), True)
    ],
    "trace fit-predictor --rank": [Flag(FIT, ("--rank", "3"), lambda done: fitted(done).rank, 3)],
    "trace fit-predictor --seed": [Flag(FIT, ("--seed", "1"), lambda done: fitted(done).projection.tolist())],
    "trace compare --arch": [Flag((*OVERLAP, "--method", "dsa2021"), ("--arch", "8.yaml"), row("all "))],
    "trace compare --method": [
        Flag(OVERLAP, ("--method", "dsa2021"), says("masks of t (synthetic) and u (synthetic), dsa2021"), True)
    ],
    "trace compare --density": [Flag(OVERLAP, ("--density", "0.5"), kept_in_b, "52.0 %")],
    "trace compare --set": [
        Flag(
            (*OVERLAP, "--density", "0.2"),
            ("--set", "mask_generator.density=0.5"),
            kept_in_b,
            "52.0 %",
        )
    ],
    "trace compare --json": [Flag(OVERLAP, ("--json", "j.json"), says('"iou_ratio"', "j.json"), True)],
    "trace compare --plot": [Flag(OVERLAP, ("--plot", "p.svg"), says("<svg", "p.svg"), True)],
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its words."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield " ".join(path), command


def flags() -> dict[str, list[str]]:
    """All flags of each command, help apart."""
    found = {name: command.params for name, command in commands(typer.main.get_command(app))}
    assert len(found) > 10
    return {
        name: [flag for each in params if each.param_type_name == "option" for flag in each.opts + each.secondary_opts]
        for name, params in found.items()
    }


def test_every_flag_is_in_the_table() -> None:
    known = {f"{name} {flag}" for name, found in flags().items() if name not in ELSEWHERE for flag in found}
    assert known == FLAGS.keys()


@pytest.mark.parametrize("command", ELSEWHERE)
def test_every_flag_of_commands_that_run_a_model_is_given_elsewhere(command: str, root: Path) -> None:
    texts = [(root / "tests" / name).read_text(encoding="utf-8") for name in ELSEWHERE[command]]
    assert [flag for flag in flags()[command] if not any(f'"{flag}"' in text for text in texts)] == []


def test_a_value_of_every_section_is_set() -> None:
    """Else a section could be read and not used; another `design` is a plugin's (tests/plugins)."""
    assert SETTINGS.keys() == {path[0] for path in all_keys()} - {"name", "design"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two traces, masks, requests, GPU profiles, a sweep's spec."""
    folder = tmp_path_factory.mktemp("place")
    facts = {"kind": "synthetic", "model": "none", "provenance": {}}
    for name, numbers in (("t", (0, 3)), ("u", (3, 0))):
        fields = {"d_ff": 32, "gated": True, "causal": True}
        made = [replace(layer(number, **fields), number=at) for number, at in zip(numbers, (0, 3), strict=True)]
        write_trace(folder / f"{name}.safetensors", made, dtype="float32", **facts)
    triangles = np.broadcast_to(np.tri(6, dtype=np.bool_), (1, 4, 6, 6))
    np.save(folder / "m.npy", triangles)
    np.save(folder / "batch.npy", np.stack([triangles, np.broadcast_to(np.eye(6, dtype=np.bool_), (1, 4, 6, 6))]))
    raw = [replace(layer(number, causal=True), predictors=()) for number in (0, 3)]
    write_trace(folder / "raw.safetensors", raw, dtype="float32", **facts)
    (folder / "8.yaml").write_text(arch_to_yaml(load_arch("dsa-edge", ("predictor.bits=8",))))
    requests = [f"R,{at * 64 + (at % 5) * (1 << 22)},{20_000 * (at > 398)}" for at in range(400)]
    (folder / "r.csv").write_text("\n".join(["op,addr,not_before", *requests]) + "\n")
    for number in (1, 2):
        (folder / f"{number}.json").write_text(json.dumps(profile(f"Test {number}")))
    (folder / "s.yaml").write_text(
        "base: dsa-decoupled\ntraces: t.safetensors\naxes: {pe_array.lanes: [2, 4]}\nobjectives: [cycles, area_mm2]\n"
    )
    return folder


def profile(device: str) -> dict[str, Any]:
    """A device that was measured on one kernel."""
    return profile_of(dense_row(), device=device)


class Threads(LocalWorkers):
    """Workers that are threads, and say in a file how many there are: what is looked at is no process's start."""

    def start(self) -> Executor:
        Path("workers").write_text(f"{self.num_workers} started")
        return ThreadPoolExecutor(self.num_workers)

    def stop(self, executor: Executor) -> None:
        executor.shutdown(wait=False, cancel_futures=True)


@pytest.fixture(scope="module")
def known() -> dict[Sequence[str], Done]:
    """What commands without the flag did: several flags have one."""
    return {}


@pytest.fixture
def done(
    dsasim: Callable,
    place: Path,
    known: dict[Sequence[str], Done],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Sequence[str]], Done]:
    """Runs a command in a folder of its own, which holds what is in `place`; the same one once."""
    monkeypatch.setattr("dsasim.sweep.pool.LocalWorkers", Threads)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")

    def run(arguments: Sequence[str]) -> Done:
        folder = tmp_path_factory.mktemp("run")
        shutil.copytree(place, folder, dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        if "run.json" in arguments:
            assert dsasim(*PLAIN, "--json", "run.json").status == 0
        if "swept" in arguments:
            assert dsasim(*SWEEP, "--out", "swept", "--workers", "1").status == 0
        finished = dsasim(*arguments)
        return Done(finished.status, finished.out, finished.err, folder)

    def once(arguments: Sequence[str]) -> Done:
        if arguments not in known:
            known[arguments] = run(arguments)
        return known[arguments]

    return once


@pytest.mark.parametrize(
    "flag",
    [pytest.param(each, id=f"{name}-{at}") for name, rows in FLAGS.items() for at, each in enumerate(rows)],
)
def test_a_flag_does_what_it_is_there_for(done: Callable[[Sequence[str]], Done], flag: Flag) -> None:
    if flag.needs is not None:
        pytest.importorskip(flag.needs)
    without, found = done(flag.base), done((*flag.base, *flag.more))
    assert "Traceback" not in found.err
    try:
        before = flag.look(without)
    except (OSError, ValueError, LookupError, StopIteration) as nothing:
        before = nothing
    after = flag.look(found)
    assert after != before, ended(found)
    assert flag.seen is None or after == flag.seen, ended(found)
