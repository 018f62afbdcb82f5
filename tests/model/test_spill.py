"""What of a tile's scores crosses the memory bus: the worked example of model.spill."""

from simpy import Environment

from dsasim.machine.transfer import Transfer
from dsasim.model.flow import Tile
from dsasim.model.memory_map import Region
from dsasim.model.operands import Ready
from dsasim.model.spill import predicted_score_jobs, score_jobs, spill_of
from dsasim.model.work import Job, Spill, TileWork

SLOTS = Region(4096, 2, 1, 500, interleaved=False)
"""Room in DRAM for what two slots of 1000 bytes cannot hold of 1500."""
NOTHING = Transfer.run(False, 0, 0)


def tile_of(predicted: Spill | None, scores: Spill | None) -> Tile:
    env = Environment()
    work = TileWork("a tile", NOTHING, None, None, None, (), Job(1), (), NOTHING, predicted, scores)
    return Tile(env, work, Ready(env, "K"), Ready(env, "V"))


def test_scores_cross_four_times_and_those_that_fit_move_nothing() -> None:
    tiles = [tile_of(None, spill_of(SLOTS, slot, size, 1000)) for slot, size in enumerate((1500, 800))]
    moves = [job.transfer for job in score_jobs(tiles)]
    assert [(move.is_write, move.num_bytes) for move in moves] == [(True, 500), (False, 500)] * 2 + [
        (True, 0),
        (False, 0),
    ] * 2
    assert {start for move in moves for start in move.starts.tolist()} == {4096}


def test_each_slot_has_a_place_of_its_own() -> None:
    spill = spill_of(SLOTS, 1, 1001, 1000)
    for move in (spill.write, spill.read):
        assert (move.starts.tolist(), move.sizes.tolist()) == ([4596], [1])
    assert spill_of(SLOTS, 1, 1000, 1000).write.num_bytes == 0


def test_each_way_starts_when_the_one_before_has_ended() -> None:
    spill = spill_of(SLOTS, 0, 1500, 1000)
    tile = tile_of(spill, spill)
    assert [(job.operand, job.arrived) for job in predicted_score_jobs(tile)] == [
        (tile.predicted, tile.predicted_out),
        (tile.predicted_out, tile.to_select),
    ]
    assert [(job.operand, job.arrived) for job in score_jobs([tile])] == [
        (tile.scores, tile.scores_out),
        (tile.scores_out, tile.to_normalise),
        (tile.probabilities, tile.probabilities_out),
        (tile.probabilities_out, tile.to_multiply),
    ]
    assert list(predicted_score_jobs(tile_of(None, spill))) == list(score_jobs([tile_of(spill, None)])) == []
