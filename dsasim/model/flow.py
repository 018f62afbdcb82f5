"""What flows between the units: tiles and the operands they turn into, kv heads, layers and their slots."""

from simpy import Environment

from dsasim.model.operands import Ready
from dsasim.model.probe import NO_PROBE, Probe
from dsasim.model.work import KVHeadWork, LayerWork, Part, TileWork


class PartInFlight:
    """A part of a tile's product: its keys or values on chip, and its end."""

    def __init__(self, env: Environment, work: Part, resident: Ready, name: str) -> None:
        self.work = work
        self.operand = resident if work.fetch is None else Ready(env, f"vectors for {name}")
        self.ended = Ready(env, f"the end of {name}")


class Tile:
    """A tile of query rows and the operands it becomes on its way through the machine."""

    def __init__(self, env: Environment, work: TileWork, k: Ready, v: Ready) -> None:
        self.work = work
        self.q = Ready(env, f"Q of {work.name}")
        self.predicted = Ready(env, f"predicted scores of {work.name}")
        self.mask = Ready(env, f"mask of {work.name}")
        self.plan = Ready(env, f"plan of {work.name}")
        self.scores = Ready(env, f"scores of {work.name}")
        self.probabilities = Ready(env, f"probabilities of {work.name}")
        self.output = Ready(env, f"output of {work.name}")
        self.written = Ready(env, f"output of {work.name} in DRAM")
        self.predicted_out = Ready(env, f"spilled predicted scores of {work.name}")
        self.scores_out = Ready(env, f"spilled scores of {work.name}")
        self.probabilities_out = Ready(env, f"spilled probabilities of {work.name}")
        back = f"{work.name} back from DRAM"
        self.to_select = Ready(env, f"predicted scores of {back}") if work.predicted_spill else self.predicted
        self.to_normalise = Ready(env, f"scores of {back}") if work.score_spill else self.scores
        self.to_multiply = Ready(env, f"probabilities of {back}") if work.score_spill else self.probabilities
        self.sddmm = [PartInFlight(env, part, k, f"the SDDMM of {work.name}") for part in work.sddmm]
        self.spmm = [PartInFlight(env, part, v, f"the SpMM of {work.name}") for part in work.spmm]

    @property
    def planned(self) -> list[Ready]:
        """The plan as an operand; nothing on a dense machine, which needs none."""
        return [] if self.work.scheduling is None else [self.plan]


class KVHead:
    """K, V and predictor weights that are on chip together, and the tiles that share them."""

    def __init__(self, env: Environment, work: KVHeadWork) -> None:
        self.work = work
        self.k = Ready(env, f"K of {work.name}")
        self.v = Ready(env, f"V of {work.name}")
        self.weights = Ready(env, f"predictor weights of {work.name}")
        self.tiles = [Tile(env, tile, self.k, self.v) for tile in work.tiles]


class LayerSlots:
    """The slots of every buffer during one layer; units reserve and release them by these names."""

    def __init__(self, env: Environment, work: LayerWork, probe: Probe) -> None:
        counts = work.slots
        self.q = probe.slots(env, "the q buffer", counts.q)
        self.k = probe.slots(env, "the k buffer", counts.k)
        self.v = probe.slots(env, "the v buffer", counts.v)
        self.inputs = probe.slots(env, "the predictor buffer (X)", counts.predictor)
        self.weights = probe.slots(env, "the predictor buffer (weights)", counts.predictor)
        self.predicted = probe.slots(env, "the predictor buffer (S~)", counts.predictor)
        self.mask = probe.slots(env, "the mask buffer", counts.mask)
        self.score = probe.slots(env, "the score buffer", counts.score)
        self.output = probe.slots(env, "the output buffer", counts.output)


class Layer:
    """One layer in flight."""

    def __init__(self, env: Environment, work: LayerWork, probe: Probe = NO_PROBE) -> None:
        self.work = work
        self.slots = LayerSlots(env, work, probe)
        self.projection = Ready(env, f"projection P of layer {work.layer}")
        self.inputs = [Ready(env, f"X tile {at} of layer {work.layer}") for at in range(len(work.projections))]
        self.kv_heads = [KVHead(env, kv) for kv in work.kv_heads]
        self.tiles = [tile for kv_head in self.kv_heads for tile in kv_head.tiles]
