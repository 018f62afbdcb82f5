"""Token-parallel scheduler: a tile's mask becomes the plan the array executes.

The plan itself is a function of the mask alone (`dataflow.plan`); the scheduler's time, and its worked example, are in
`kernels.schedule`. The plan overwrites the mask in the mask buffer. In a design without a predictor the masks are there
from the start and the scheduler reserves the slot itself.
"""

from simpy import Environment

from dsasim.model.flow import Layer
from dsasim.model.unit import Process, Unit


class Scheduler(Unit):
    """Plans one tile after the other."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env, "scheduler")

    def run(self, layer: Layer) -> Process:
        """Do the layer's tiles in order."""
        for tile in layer.tiles:
            assert tile.work.scheduling is not None
            if tile.work.mask_generation is None:
                yield from self.wait([], layer.slots.mask)
            else:
                yield from self.wait([tile.mask])
            yield from self.work(tile.work.scheduling.cycles)
            tile.plan.set()
