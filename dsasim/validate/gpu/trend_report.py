"""What the times of a trend say: its points, its gate and its tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dsasim.validate.check import Cell, Check, CheckTable
from dsasim.validate.statistics import break_even, mape, spearman

NAME = "trend"
TITLE = "measured times follow density and length"
GATE = 0.9
"""Least rank correlation of measured and modelled times: both follow the work, and noise must not undo it."""

DATA = "synthetic: random operands, random blocks"
WORDS = (
    "Device and accelerator differ in peak and bandwidth, so raw ratios compare sizes; those for the same peak or"
    " bandwidth multiply them out, the accelerator's peak being all its MACs, those of prediction worth (their bits /"
    " the array's)^2 each. Block masks are given to the accelerator, so both are compared without prediction; with it,"
    " the accelerator is in the check of its break-even length. Of more than 2 heads 2 are simulated, their cycles and"
    " bytes multiplied up."
)
ON_CPU = "No GPU was measured: one thread of a CPU shows that time follows the work, not a GPU's speed. "


@dataclass(frozen=True)
class TrendPoint:
    """One length and density.

    Times are in us: the quiet fifth (p20) of the samples. `sparse_roofline_us` is for the blocks kept, so rounded up to
    tiles; cycles, utilisation and DRAM bytes are the accelerator's on the same blocks, at `clock_ghz`.
    `peak_ratio` and `bandwidth_ratio`: the device's over the accelerator's. They and the rooflines are not known until
    `trend.beside_roofline`.
    """

    L: int
    density: float
    block_density: float
    num_blocks: int
    dense_us: float
    sparse_us: float
    prediction_us: float
    cycles: int
    num_heads: int
    clock_ghz: float
    utilisation: float
    dram_bytes: int
    dense_roofline_us: float = 0.0
    sparse_roofline_us: float = 0.0
    prediction_roofline_us: float = 0.0
    peak_ratio: float = 1.0
    bandwidth_ratio: float = 1.0

    @property
    def whole_us(self) -> float:
        """Prediction and sparse attention: what is compared with dense attention."""
        return self.sparse_us + self.prediction_us

    @property
    def accelerator_us(self) -> float:
        """The accelerator's time for attention on these blocks."""
        return self.cycles / (1e3 * self.clock_ghz)


def judged(
    points: Sequence[TrendPoint],
    raw: Sequence[CheckTable] = (),
    *,
    left_out: Mapping[int, str] = MappingProxyType({}),
    on_cpu: bool = False,
) -> Check:
    """The check of measured points: fails where the order of measured and of modelled times differs too much.

    `left_out`: lengths that were timed but cannot be simulated, with the reason.
    """
    sparse = [point.sparse_us for point in points]
    roofline = [point.sparse_roofline_us for point in points]
    ranks = {
        "spearman_measured_roofline": spearman(sparse, roofline),
        "spearman_measured_accelerator": spearman(sparse, [point.cycles for point in points]),
    }
    worst = min(ranks, key=lambda name: ranks[name])
    lengths = dict(break_even_lengths(points))
    figures: dict[str, Cell] = {
        **ranks,
        "mape_measured_roofline": mape(sparse, roofline),
        "break_even_length": min((length for length in lengths.values() if length is not None), default=None),
    }
    words, without = worst.replace("_", " "), "".join(f" {reason}." for reason in left_out.values())
    return Check(
        NAME,
        TITLE,
        "passed" if all(rank >= GATE for rank in ranks.values()) else "failed",
        f"least rank correlation {ranks[worst]:.3f} ({words}), at least {GATE:g}. {ON_CPU * on_cpu}{WORDS}{without}",
        gate=GATE,
        figures=figures,
        tables=(
            *_tables(points),
            CheckTable("what the times say", ("figure", "value"), tuple(_said(figures, lengths)), data=DATA),
            *raw,
        ),
    )


def break_even_lengths(points: Sequence[TrendPoint]) -> Iterator[tuple[float, int | None]]:
    """Each density with the length from which on prediction and sparse attention beat dense attention."""
    for density in dict.fromkeys(point.density for point in points):
        of_density = sorted((point.L, point.dense_us / point.whole_us) for point in points if point.density == density)
        yield density, break_even(of_density)


def _said(figures: dict[str, Cell], lengths: dict[float, int | None]) -> Iterator[tuple[Cell, ...]]:
    yield "rank correlation (Spearman), measured and roofline", figures["spearman_measured_roofline"]
    yield "rank correlation (Spearman), measured and accelerator", figures["spearman_measured_accelerator"]
    yield "mean |roofline / measured - 1| (MAPE)", figures["mape_measured_roofline"]
    for density, length in lengths.items():
        yield f"break-even length of the device, density {density:g}", "none of these" if length is None else length


def _tables(points: Sequence[TrendPoint]) -> Iterator[CheckTable]:
    yield CheckTable(
        "block-sparse attention on the device, us",
        ("L", "density", "kept", "blocks", "dense", "sparse", "prediction", "sum", "dense / sum"),
        tuple(
            (p.L, p.density, p.block_density, p.num_blocks)
            + tuple(map(round, (p.dense_us, p.sparse_us, p.prediction_us, p.whole_us)))
            + (p.dense_us / p.whole_us,)
            for p in points
        ),
        data=DATA,
    )
    yield CheckTable(
        "beside its roofline, us; measured / roofline",
        ("L", "density", "dense", "of dense", "sparse", "of sparse", "prediction", "of prediction"),
        tuple((p.L, p.density, *_beside_roofline(p)) for p in points),
        data=DATA,
    )
    yield CheckTable(
        "beside the accelerator on the same blocks, prediction left out of both; ratios: device / accelerator",
        ("L", "density", "cycles", "us", "use of MACs", "DRAM MB", "raw", "for its peak", "for its GB/s"),
        tuple(
            (p.L, p.density, p.cycles, round(p.accelerator_us), p.utilisation, 1e-6 * p.dram_bytes, raw)
            + (raw * p.peak_ratio, raw * p.bandwidth_ratio)
            for p in points
            for raw in (p.sparse_us / p.accelerator_us,)
        ),
        data=DATA,
    )


def _beside_roofline(point: TrendPoint) -> Iterator[Cell]:
    pairs = (
        (point.dense_us, point.dense_roofline_us),
        (point.sparse_us, point.sparse_roofline_us),
        (point.prediction_us, point.prediction_roofline_us),
    )
    for measured, roofline in pairs:
        yield round(roofline)
        yield measured / roofline if roofline else None
