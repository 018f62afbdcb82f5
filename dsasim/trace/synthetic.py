"""Keep masks made by a rule instead of a model, for tests of hardware and for comparison with real ones.

They mislead: what token-parallel hardware lives on is that neighbouring rows want the same keys, and that is what a
rule puts in or leaves out. `notes.PATTERN_NOTES` says which way each pattern errs. Every draw is SplitMix64 or PCG64
from the seed, and no product goes through BLAS: the same arguments give the same bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.kernels.attention import score_rows, tile_keys
from dsasim.kernels.references import random_rows
from dsasim.kernels.select import top_k_rows
from dsasim.trace.arrays import LayerArrays, encode_layers
from dsasim.trace.counts import kept_counts
from dsasim.trace.masks import MaskRows, write_masks
from dsasim.trace.packing import Bool
from dsasim.trace.positions import Int64, Positions
from dsasim.trace.schema import describe
from dsasim.trace.stream import StreamedTensor, write_stream

Pattern = Literal["window", "block", "random", "global_random", "top_k"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
Float32 = NDArray[np.float32]

SIZES = ("L_q", "L_k", "num_layers", "num_heads", "num_kv_heads", "d_head", "block", "num_global", "num_sequences")
MASS_HELD = 0.95
SMOOTHNESS = 0.9
"""Correlation of the inputs of neighbouring positions under `top_k`: assumed."""


@dataclass(frozen=True)
class Synthetic:
    """What to make: `num_layers` like layers, every row keeping max(1, ceil(density x its allowed keys)) keys.

    `block` is the side of a block and `num_global` the number of global keys, of the patterns that have them. Queries
    are the last L_q of L_k positions. Sequences have draws of their own, and under top_k the weights of the first.
    TraceError: a size, a density or a seed out of range.
    """

    pattern: Pattern
    density: Decimal
    L_q: int
    L_k: int
    num_layers: int = 1
    num_heads: int = 4
    num_kv_heads: int = 4
    d_head: int = 64
    causal: bool = False
    seed: int = 0
    block: int = 64
    num_global: int = 16
    num_sequences: int = 1

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise TraceError(f"synthetic masks: no pattern {self.pattern!r}; there are {', '.join(PATTERNS)}")
        if not 0 < self.density <= 1:
            raise TraceError(f"synthetic masks: density {self.density} is not above 0 and at most 1")
        if wrong := [name for name in SIZES if getattr(self, name) < 1]:
            raise TraceError(f"synthetic masks: {wrong[0]} {getattr(self, wrong[0])} is below 1")
        if self.num_heads % self.num_kv_heads:
            raise TraceError(f"synthetic masks: {self.num_kv_heads} kv heads do not divide {self.num_heads} heads")
        if self.L_q > self.L_k:
            raise TraceError(f"synthetic masks: {self.L_q} queries cannot be the last of {self.L_k} positions")
        if self.seed < 0:
            raise TraceError(f"synthetic masks: seed {self.seed} is negative")

    @cached_property
    def positions(self) -> Positions:
        """Which keys each row may attend to."""
        return Positions(self.L_q, self.L_k, self.causal, None)

    @cached_property
    def counts(self) -> Int64:
        """Keys that each row keeps, int64 [L_q]."""
        return kept_counts(self.positions.counts, self.density)

    def seed_of(self, *numbers: int, sequence: int) -> tuple[int, ...]:
        """A seed of its own for a layer, a head and a sequence."""
        return (self.seed, *numbers, sequence) if sequence else (self.seed, *numbers)

    def state(self, number: int, head: int, sequence: int) -> np.uint64:
        """The same, as a state of SplitMix64."""
        seed = np.random.SeedSequence(self.seed_of(number, head, sequence=sequence))
        return cast("np.uint64", seed.generate_state(1, np.uint64)[0])


KeepRows = Callable[[int, int, int], Bool]
"""keep(head, first, num_rows): bool [num_rows, L_k]."""


def write_synthetic(path: Path, wanted: Synthetic, *, with_qkv: bool = False) -> None:
    """Write a trace of kind `synthetic`: keep masks alone, or with the q, k, v and x they were selected from (top_k).

    TraceError: q, k, v for a pattern that has no scores; a place that cannot be written.
    """
    facts: dict[str, Any] = {
        "kind": "synthetic",
        "model": f"no model, {wanted.pattern} masks",
        "provenance": _provenance(wanted),
    }
    if with_qkv and wanted.pattern != "top_k":
        raise TraceError(f"synthetic masks: {wanted.pattern} looks at no scores; q, k and v are made for top_k only")
    places = list(product(range(wanted.num_layers), range(wanted.num_sequences)))
    if not with_qkv:
        rule = _RULES[wanted.pattern]
        write_masks(path, [_mask_rows(wanted, *place, rule(wanted, *place)) for place in places], **facts)
        return
    tensors: dict[str, StreamedTensor] = {}
    entries = []
    for place in places:
        arrays = top_k_layer(wanted, *place)
        encoded, entry = encode_layers([arrays], np.float16)
        tensors |= {key: StreamedTensor.of(np.ascontiguousarray(array)) for key, array in encoded.items()}
        masks = _mask_rows(wanted, *place, _top_k_of(wanted, arrays))
        tensors[masks.name] = masks.tensor()
        entries += entry
    write_stream(path, tensors, describe(entries, **facts))


def _provenance(wanted: Synthetic) -> dict[str, Any]:
    """Every argument; one sequence goes without saying."""
    facts = {key: str(value) if key == "density" else value for key, value in asdict(wanted).items()}
    return facts if wanted.num_sequences > 1 else {key: facts[key] for key in facts if key != "num_sequences"}


def _mask_rows(wanted: Synthetic, number: int, sequence: int, rows: KeepRows) -> MaskRows:
    shape = (wanted.num_heads, wanted.num_kv_heads, wanted.L_q, wanted.L_k, wanted.d_head, wanted.causal)
    return MaskRows(f"{wanted.pattern} masks", number, *shape, rows, sequence)


def window_rows(wanted: Synthetic, _number: int, _sequence: int = 0) -> KeepRows:
    """The keys around the row's own position, as far to both sides as there are any; causal: the last ones.

    Worked example: 8 keys, density 0.375, so 3 a row: row 0 keeps 0 1 2, row 4 keeps 3 4 5, row 7 keeps 5 6 7.
    """
    spans, counts = wanted.positions.spans, wanted.counts
    own = np.arange(wanted.L_q) + wanted.L_k - wanted.L_q
    begin = np.clip(own - counts // 2, 0, spans - counts)
    keys = np.arange(wanted.L_k)

    def rows(_head: int, first: int, num_rows: int) -> Bool:
        start = begin[first : first + num_rows, None]
        keep: Bool = (keys >= start) & (keys < start + counts[first : first + num_rows, None])
        return keep

    return rows


def global_random_rows(wanted: Synthetic, number: int, sequence: int = 0, num_global: int | None = None) -> KeepRows:
    """The first `num_global` keys (all a row keeps, if it keeps fewer), and random ones: BigBird's columns.

    BigBird's global rows (Zaheer et al. 2020, arXiv 2007.14062) are left out: every row keeps its share exactly.
    """
    globals_ = wanted.num_global if num_global is None else num_global
    keys = np.arange(wanted.L_k)

    def rows(head: int, first: int, num_rows: int) -> Bool:
        allowed = wanted.positions.allowed(first, num_rows, wanted.L_k)
        counts = wanted.counts[first : first + num_rows]
        shared = allowed & (keys < np.minimum(globals_, counts)[:, None])
        rest = counts - np.count_nonzero(shared, axis=1)
        return shared | _drawn(allowed & (keys >= globals_), rest, wanted.state(number, head, sequence), first)

    return rows


def block_rows(wanted: Synthetic, number: int, sequence: int = 0) -> KeepRows:
    """Whole blocks: the one on the diagonal, and random ones up to the density, counted over all rows so far.

    Of n allowed blocks a row of blocks keeps at least one; how many more is what brings the sum up to density x all
    blocks so far, rounded. Worked example: causal, 4 blocks, density 0.5: of 1 2 3 4 blocks it keeps 1 1 1 2.
    """
    side, own = wanted.block, (np.arange(wanted.L_q) + wanted.L_k - wanted.L_q) // wanted.block
    first_block, num_columns = int(own[0]), -(-wanted.L_k // side)
    diagonal = np.arange(first_block, int(own[-1]) + 1)
    columns = np.arange(num_columns)
    allowed = np.tile(columns, (len(diagonal), 1)) <= (diagonal[:, None] if wanted.causal else num_columns)
    wished = [int(wanted.density * int(n) + Decimal("0.5")) for n in np.cumsum(allowed.sum(axis=1))]
    counts = np.zeros(len(diagonal), dtype=np.int64)
    for at, total in enumerate(wished):
        counts[at] = np.clip(total - counts.sum(), 1, allowed[at].sum())
    on_diagonal: Bool = columns == diagonal[:, None]

    @lru_cache(maxsize=1)
    def blocks(head: int) -> Bool:
        return on_diagonal | _drawn(allowed & ~on_diagonal, counts - 1, wanted.state(number, head, sequence), 0)

    def rows(head: int, first: int, num_rows: int) -> Bool:
        chosen: Bool = blocks(head)[own[first : first + num_rows] - first_block]
        keep: Bool = np.repeat(chosen, side, axis=1)[:, : wanted.L_k]
        return keep & wanted.positions.allowed(first, num_rows, wanted.L_k)

    return rows


def top_k_rows_of(wanted: Synthetic, number: int, sequence: int = 0) -> KeepRows:
    """The highest scores of `top_k_layer`."""
    return _top_k_of(wanted, top_k_layer(wanted, number, sequence))


def top_k_layer(wanted: Synthetic, number: int, sequence: int = 0) -> LayerArrays:
    """Random q, k, v that are linear in a smooth random input, float16 values held in float32.

    Inputs are unit Gaussians whose neighbours have a correlation of SMOOTHNESS, so that near rows want like keys.
    Weights make the scores Gaussian with the spread s at which, of very many keys, the `density` share with the highest
    ones holds MASS_HELD of the softmax mass: s = z(1 - density) + z(MASS_HELD), z the normal quantile (at least 0.1).
    """
    rng = np.random.default_rng((wanted.seed, number))
    d_model = wanted.num_heads * wanted.d_head
    x = rng.standard_normal((wanted.L_k, d_model))
    if sequence:
        x = np.random.default_rng(wanted.seed_of(number, sequence=sequence)).standard_normal(x.shape)
    fresh = np.sqrt(1 - SMOOTHNESS**2)
    for position in range(1, wanted.L_k):
        x[position] = SMOOTHNESS * x[position - 1] + fresh * x[position]
    normal, density = NormalDist(), float(wanted.density)
    spread = max(0.1, normal.inv_cdf(1 - density) + normal.inv_cdf(MASS_HELD)) if density < 1 else 0.1
    gain = round(float(np.sqrt(spread)), 4) / np.sqrt(d_model)
    inputs = x.astype(np.float16).astype(np.float32)

    def linear(num_heads: int, factor: float) -> Float32:
        weights = rng.standard_normal((num_heads, wanted.d_head, d_model)).astype(np.float32)
        made = [score_rows(inputs, tile_keys(head), wanted.d_head, factor) for head in weights]
        return np.stack(made).astype(np.float16).astype(np.float32)

    q, k = linear(wanted.num_heads, gain), linear(wanted.num_kv_heads, gain)
    v = linear(wanted.num_kv_heads, 1 / np.sqrt(d_model))
    first = wanted.L_k - wanted.L_q
    x_kv = None if first == 0 else inputs
    return LayerArrays(
        number=number,
        q=q[:, first:],
        k=k,
        v=v,
        x_q=inputs[first:],
        x_kv=x_kv,
        causal=wanted.causal,
        scale=wanted.d_head**-0.5,
        sequence=sequence,
    )


def _top_k_of(wanted: Synthetic, layer: LayerArrays) -> KeepRows:
    """The highest allowed scores of each row, ties to the lowest key."""
    share = wanted.num_heads // wanted.num_kv_heads

    @lru_cache(maxsize=1)
    def tiles(kv_head: int) -> NDArray[np.float64]:
        return tile_keys(layer.k[kv_head])

    def rows(head: int, first: int, num_rows: int) -> Bool:
        part = slice(first, first + num_rows)
        scores = score_rows(layer.q[head, part], tiles(head // share), wanted.L_k, layer.scale)
        allowed = wanted.positions.allowed(first, num_rows, wanted.L_k)
        indptr, indices, _, _ = top_k_rows(scores, allowed, wanted.counts[part], 1)
        return _dense(indptr, indices, wanted.L_k)

    return rows


def _drawn(allowed: Bool, counts: Int64, state: np.uint64, first_row: int) -> Bool:
    """Random allowed keys, `counts` a row."""
    indptr, indices = random_rows(allowed, counts, state, first_row)
    return _dense(indptr, indices, allowed.shape[1])


def _dense(indptr: Int64, indices: NDArray[np.int32], num_keys: int) -> Bool:
    keep = np.zeros((len(indptr) - 1, num_keys), dtype=np.bool_)
    keep[np.repeat(np.arange(len(keep)), np.diff(indptr)), indices] = True
    return keep


_RULES: Mapping[Pattern, Callable[[Synthetic, int, int], KeepRows]] = {
    "window": window_rows,
    "block": block_rows,
    "random": partial(global_random_rows, num_global=0),
    "global_random": global_random_rows,
    "top_k": top_k_rows_of,
}
