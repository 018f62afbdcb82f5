"""What flows between the units: tiles and the operands they turn into, kv heads, layers and their slots."""

from simpy import Environment

from dsasim.model.unit import Ready, Slots
from dsasim.model.work import KVHeadWork, LayerWork, TileWork


class Tile:
    """A tile of query rows and the operands it becomes on its way through the machine."""

    def __init__(self, env: Environment, work: TileWork) -> None:
        self.work = work
        self.q = Ready(env, f"Q of {work.name}")
        self.predicted = Ready(env, f"predicted scores of {work.name}")
        self.mask = Ready(env, f"mask of {work.name}")
        self.plan = Ready(env, f"plan of {work.name}")
        self.scores = Ready(env, f"scores of {work.name}")
        self.probabilities = Ready(env, f"probabilities of {work.name}")
        self.output = Ready(env, f"output of {work.name}")
        self.written = Ready(env, f"output of {work.name} in DRAM")


class KVHead:
    """A kv head's K, V and predictor weights on chip, and the tiles of all query heads that share them."""

    def __init__(self, env: Environment, work: KVHeadWork, name: str) -> None:
        self.work = work
        self.k = Ready(env, f"K of {name}")
        self.v = Ready(env, f"V of {name}")
        self.weights = Ready(env, f"predictor weights of {name}")
        self.tiles = [Tile(env, tile) for head in work.heads for tile in head.tiles]


class LayerSlots:
    """The slots of every buffer during one layer; units reserve and release them by these names."""

    def __init__(self, env: Environment, work: LayerWork) -> None:
        counts = work.slots
        self.q = Slots(env, "the q buffer", counts.q)
        self.k = Slots(env, "the k buffer", counts.k)
        self.v = Slots(env, "the v buffer", counts.v)
        self.inputs = Slots(env, "the predictor buffer (X)", counts.predictor)
        self.weights = Slots(env, "the predictor buffer (weights)", counts.predictor)
        self.predicted = Slots(env, "the predictor buffer (S~)", counts.predictor)
        self.mask = Slots(env, "the mask buffer", counts.mask)
        self.score = Slots(env, "the score buffer", counts.score)
        self.output = Slots(env, "the output buffer", counts.output)


class Layer:
    """One layer in flight."""

    def __init__(self, env: Environment, work: LayerWork) -> None:
        self.work = work
        self.slots = LayerSlots(env, work)
        self.projection = Ready(env, f"projection P of layer {work.layer}")
        self.inputs = [Ready(env, f"X tile {at} of layer {work.layer}") for at in range(len(work.projections))]
        self.kv_heads = [KVHead(env, kv, f"layer {work.layer} kv head {kv.kv_head}") for kv in work.kv_heads]
        self.tiles = [tile for kv_head in self.kv_heads for tile in kv_head.tiles]
