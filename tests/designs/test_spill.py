"""What of a tile's scores crosses the memory bus: the worked example of designs.dsa.tile."""

from dsasim.designs.dsa.tile import spill
from dsasim.model.memory_map import Region

SLOTS = Region(4096, 2, 1, 500, interleaved=False)
"""Space in DRAM for what two slots of 1000 bytes cannot hold of 1500."""


def test_what_a_slot_cannot_hold_goes_out_and_comes_back() -> None:
    for slot, size, beyond in ((0, 1500, 500), (1, 800, 0)):
        moves = spill(SLOTS, slot, size, 1000)
        assert [(move.is_write, move.num_bytes) for move in moves] == [
            (True, beyond),
            (False, beyond),
        ]
        assert {start for move in moves for start in move.starts.tolist()} <= {4096}


def test_each_slot_has_a_place_of_its_own() -> None:
    moves = spill(SLOTS, 1, 1001, 1000)
    for move in moves:
        assert (move.starts.tolist(), move.sizes.tolist()) == ([4596], [1])
    assert spill(SLOTS, 1, 1000, 1000)[0].num_bytes == 0
