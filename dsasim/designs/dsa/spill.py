"""Scores that do not fit their slot: what is beyond it goes to DRAM and comes back (`dataflow.tiling`).

A slot holds the first bytes of a tile's scores; the others pass through it. S~ goes out when the tile is predicted and
comes back before its mask is made, on the predictor's DMA engine. S goes out after the tile's SDDMM, comes back for the
softmax, goes out as probabilities and comes back for the SpMM, on an engine of its own (`score`). Each way is one
transfer, which starts when the one before it has ended. A spilled tile that fits after all transfers nothing, which
takes a cycle each way.

Worked example: slots of 1000 bytes and tiles of 1500 and 800 bytes: the first tile's scores cross the memory bus four
times, 500 bytes each; the second's move nothing.
"""

from dsasim.designs.dsa.work import Spill
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region


def spill_of(region: Region, slot: int, score_bytes: int, held_bytes: int) -> Spill:
    """The transfers of a tile of `score_bytes` whose slot holds `held_bytes`; `region` has a place for every slot."""
    beyond = max(0, score_bytes - held_bytes)
    start = region.base + slot * region.vector_bytes
    return Spill(Transfer.run(True, start, beyond), Transfer.run(False, start, beyond))
