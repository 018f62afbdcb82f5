"""Mask generator: a tile of approximate scores becomes a bit mask, one selector a row at a time.

Under `threshold` a selector takes ceil(n / comparators) cycles for a row of n allowed keys. Under `top_k` it is a
quick-select unit, which takes ceil(remaining / comparators) + 3 for each pass that it really makes (`kernels.select`),
or a bitonic sorter with a merger (`selectors.merge_unit`). Row r of a tile goes to selector r mod num_selectors, which
starts its next row when it has ended one; the tile is done when its slowest selector is, after at least one cycle.

Row barrier: no row is begun before the scores of its whole tile are in the predictor's buffer. A top-k needs its row's
last score before it may drop any; a comparator does not, and waits all the same: units hand over whole tiles.

Worked example: two selectors, rows that need 10, 4, 3, 9 cycles: max(10 + 3, 4 + 9) = 13 cycles.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.events import Groups, tile_sums
from dsasim.designs.dsa.pe_array import GROWTH_BITS
from dsasim.designs.dsa.scheduler import key_bits
from dsasim.designs.dsa.work import NOTHING, Work
from dsasim.machine.job import Events
from dsasim.machine.spec import Silicon, absent
from dsasim.masks import Selection
from dsasim.selectors.base import selector_of
from dsasim.sim.components import silicon_of


def tile_job(row_cycles: NDArray[np.int64], num_selectors: int, events: Events = NOTHING, block_rows: int = 1) -> Work:
    """Time of one tile from what each of its rows takes a selector.

    Of `block_rows` rows that are selected together the first has the cycles, and selectors take blocks in turn.
    """
    if block_rows > 1:
        row_cycles = row_cycles[row_cycles > 0]
    rows = np.zeros(-(-len(row_cycles) // num_selectors) * num_selectors, np.int64)
    rows[: len(row_cycles)] = row_cycles
    return Work(max(1, int(rows.reshape(-1, num_selectors).sum(axis=0).max())), 0, events, "select")


def tile_jobs(
    selected: Selection,
    tile_rows: int,
    groups: Groups,
    groups_per_tile: int,
    scores: Sequence[int],
    score_bytes: int,
    num_keys: int,
    num_selectors: int,
    block_rows: int = 1,
) -> list[Work]:
    """The tiles of some rows: the `scores` of each are read, and the spans' bits written.

    What a top-k unit sets aside and reads again is a score and its key number, in whole bytes. Worked example: scores
    of 2 bytes and 512 keys, 16 + 9 bits, make entries of 4 bytes.
    """
    entry_bytes = score_bytes + -(-key_bits(num_keys) // 8)
    counts = zip(
        tile_sums(selected.comparisons, tile_rows),
        tile_sums(groups.mask_bytes, groups_per_tile),
        scores,
        tile_sums(selected.entries_read, tile_rows),
        tile_sums(selected.entries_written, tile_rows),
        strict=True,
    )
    return [
        tile_job(
            selected.row_cycles[at * tile_rows : (at + 1) * tile_rows],
            num_selectors,
            {
                "mask_comparisons": comparisons,
                "mask_buffer_write_bytes": mask_bytes,
                "predictor_buffer_read_bytes": scored * score_bytes + read * entry_bytes,
                "predictor_buffer_write_bytes": written * entry_bytes,
            },
            block_rows,
        )
        for at, (comparisons, mask_bytes, scored, read, written) in enumerate(counts)
    ]


def silicon(arch: ArchConfig) -> Silicon:
    """Selectors, each of what its rule needs (`dsasim.selectors`); free where nothing is predicted."""
    design, bits = arch.mask_generator, arch.predictor.bits
    if design is None or bits is None or arch.predictor.free:
        return absent("mask_comparisons")
    score_bits = 2 * bits + GROWTH_BITS
    unit = selector_of(design).silicon(score_bits, arch.technology_nm)
    used = {"mask_comparisons": unit.used}
    return silicon_of(design.num_selectors * unit.lanes, unit.silicon, used, f"S~ of {score_bits} bits")
