"""What the units count: plan entries, spans, and products in the predictor's buffer, by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.dataflows.plan import Plan, make_plan
from dsasim.designs.dsa.events import Groups
from dsasim.designs.dsa.mask_generator import tile_jobs
from dsasim.designs.dsa.predictor import product
from dsasim.designs.dsa.products import SDDMM, SPMM
from dsasim.designs.dsa.scheduler import mask_row_bytes
from dsasim.designs.dsa.scheduler import tile_jobs as plan_jobs
from dsasim.mappings.dense_blocks import sum_bytes
from dsasim.masks import KeepMask, Selection


def plan_counters(arch: ArchConfig, plan: Plan, groups: Groups, num_keys: int) -> dict[str, int]:
    """Events of one tile of all groups: the scheduler's, and what SDDMM and SpMM each read of the plan."""
    (work,), (plan_bytes,) = plan_jobs(arch.scheduler, plan, groups, len(groups.rows), num_keys)
    read = {"mask_buffer_read_bytes": work.events["mask_buffer_read_bytes"] + 2 * plan_bytes}
    return dict(work.events) | read


@pytest.mark.parametrize(("keys", "rows", "entry_bytes"), [(512, 4, 2), (16, 4, 1), (17, 4, 2), (512, 8, 3), (1, 1, 1)])
def test_a_plan_entry_holds_key_and_rows_in_whole_bytes(
    tiny: Callable[..., ArchConfig], keys: int, rows: int, entry_bytes: int
) -> None:
    """512 keys and T = 4 take 9 + 4 bits, 2 bytes (the worked example). One load: written once, read twice."""
    arch = tiny(f"scheduler.token_parallelism={rows}", f"scheduler.tile_rows={rows}")
    keep = np.zeros((rows, keys), np.bool_)
    keep[:, -1] = True
    groups = Groups(np.array([rows]), np.array([keys]))
    counts = plan_counters(arch, make_plan(KeepMask.from_dense(keep), "reordered", rows), groups, keys)
    assert counts["mask_buffer_write_bytes"] == entry_bytes
    assert counts["mask_buffer_read_bytes"] == rows * -(-keys // 8) + 2 * entry_bytes
    assert (counts["keys_issued"], counts["keys_classified"], counts["idle_row_slots"]) == (1, keys, 0)


@pytest.mark.parametrize(("entries", "spilled"), [(4, 1), (5, 0)])
def test_a_spilled_key_is_written_to_the_mask_buffer_and_read_back(
    tiny: Callable[..., ArchConfig], entries: int, spilled: int
) -> None:
    """Five of 512 keys for both rows: plan entries of 9 + 2 bits, 2 bytes; a spilled key and a link of 9 + 9, 3."""
    arch = tiny(f"scheduler.id_queue_entries={entries}")
    keep = np.zeros((2, 512), np.bool_)
    keep[:, :5] = True
    groups = Groups(np.array([2]), np.array([512]))
    counts = plan_counters(arch, make_plan(KeepMask.from_dense(keep), "reordered", 2), groups, keep.shape[1])
    assert counts["keys_spilled"] == spilled
    assert counts["mask_buffer_write_bytes"] == 5 * 2 + 3 * spilled
    assert counts["mask_buffer_read_bytes"] == 2 * 64 + 2 * 5 * 2 + 3 * spilled


def test_in_order_the_mask_is_the_plan(tiny: Callable[..., ArchConfig]) -> None:
    """Two rows of 16 keys: 4 bytes of mask bits, read by scheduler and products; nothing written or spilled."""
    arch = tiny("scheduler.order=in_order", "scheduler.id_queue_entries=1")
    groups = Groups(np.array([2]), np.array([16]))
    counts = plan_counters(
        arch, make_plan(KeepMask.from_dense(np.eye(2, 16, dtype=np.bool_)), "in_order", 2), groups, 16
    )
    assert (counts["mask_buffer_write_bytes"], counts["mask_buffer_read_bytes"]) == (0, 3 * 4)


@pytest.mark.parametrize(
    ("order", "keys", "rows", "row_bytes"),
    [("reordered", 512, 4, 256), ("in_order", 512, 4, 64), ("reordered", 9, 8, 3), ("in_order", 9, 8, 2)],
)
def test_a_mask_slot_has_room_for_the_longest_plan(
    tiny: Callable[..., ArchConfig], order: str, keys: int, rows: int, row_bytes: int
) -> None:
    """The worked example of the scheduler; 9 keys and T = 8 make entries of 4 + 8 bits: ceil(9 * 2 / 8) = 3."""
    arch = tiny(f"scheduler.token_parallelism={rows}", f"scheduler.tile_rows={rows}", f"scheduler.order={order}")
    assert mask_row_bytes(arch.scheduler, keys, keys) == row_bytes


@pytest.mark.parametrize(("most_kept", "row_bytes"), [(31, 64), (32, 64), (33, 66), (52, 104), (128, 256), (129, 256)])
def test_rows_that_keep_few_keys_have_short_plans(
    tiny: Callable[..., ArchConfig], most_kept: int, row_bytes: int
) -> None:
    """512 keys, T = 4, entries of 2 bytes: two bytes a kept key of a row, at least the mask, at most every key once."""
    arch = tiny("scheduler.token_parallelism=4", "scheduler.tile_rows=4", "scheduler.order=reordered")
    assert mask_row_bytes(arch.scheduler, 512, most_kept) == row_bytes


def test_groups_count_positions_and_mask_bytes() -> None:
    """Causal groups of 2, 2 and 1 rows that see 2, 9 and 10 keys: bits of a row in whole bytes."""
    groups = Groups(np.array([2, 2, 1]), np.array([2, 9, 10]))
    assert groups.scores().tolist() == [4, 18, 10]
    assert groups.mask_bytes.tolist() == [2 * 1, 2 * 2, 2]


def test_operands_are_read_once_a_fold_of_the_other(tiny: Callable[..., ArchConfig]) -> None:
    """3 x 5 x 7 on 2 x 4 PEs: 2 row folds, 2 column folds; 4-bit operands, 8-bit results.

    Rows twice: 2 * 15 * 4 bits; columns twice: 2 * 35 * 4 bits; 400 bits are 50 bytes. Results: 21 bytes.
    """
    arch = tiny("predictor.array_rows=2", "predictor.array_columns=4")
    assert product(arch, 3, 5, 7, 4, 4, 8).events == {
        "predictor_buffer_read_bytes": 50,
        "predictor_buffer_write_bytes": 21,
    }


def test_a_systolic_array_reads_again_and_hands_on_partial_sums(tiny: Callable[..., ArchConfig]) -> None:
    """16-bit elements take 2 bytes, their sums 2 * 16 + 8 bits = 5: read back and written by each product."""
    sizes = 4, 2, sum_bytes(tiny("pe_array.bits=16"))
    sddmm = SDDMM.events(sizes, 0, 0, served=0, vectors=0, rereads=3, sums=4)
    spmm = SPMM.events(sizes, 0, 0, served=0, vectors=0, rereads=5, sums=6)
    assert {name: count for name, count in sddmm.items() if count} == {
        "q_buffer_read_bytes": 3 * 2,
        "score_buffer_read_bytes": 4 * 5,
        "score_buffer_write_bytes": 4 * 5,
    }
    assert {name: count for name, count in spmm.items() if count} == {
        "score_buffer_read_bytes": 5 * 2,
        "output_buffer_read_bytes": 6 * 5,
        "output_buffer_write_bytes": 6 * 5,
    }


@pytest.mark.parametrize(("keys", "entry_bytes"), [(256, 3), (257, 4), (512, 4)])
def test_what_a_selector_passes_over_again_is_read_and_written(keys: int, entry_bytes: int) -> None:
    """Two rows, 900 comparisons, 7 entries read and 9 written: scores of 2 bytes, keys of 8 or 9 bits."""
    keep = KeepMask.from_dense(np.ones((2, keys), np.bool_))
    selected = Selection(keep, *(np.array(row) for row in ([0, 0], [500, 400], [7, 0], [4, 5])))
    (work,) = tile_jobs(selected, 2, Groups(np.array([2]), np.array([keys])), 1, [2 * keys], 2, keys, 1)
    assert work.events == {
        "mask_comparisons": 900,
        "mask_buffer_write_bytes": 2 * -(-keys // 8),
        "predictor_buffer_read_bytes": 2 * keys * 2 + 7 * entry_bytes,
        "predictor_buffer_write_bytes": 9 * entry_bytes,
    }
