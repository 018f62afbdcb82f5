"""From a layer of a trace to work for the units: its projection, its kv heads, and the bundles that share them.

One bundle's tensors, masks and plan are alive at a time; what stays is a few integers a tile.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import predictor
from dsasim.designs.dsa.context import Context, Observer, Pools
from dsasim.designs.dsa.head_group import bundle_work
from dsasim.designs.dsa.placement import place_layer
from dsasim.designs.dsa.shape import LayerShape, layer_shape
from dsasim.designs.dsa.work import KVHeadWork, LayerWork, Work
from dsasim.errors import ConfigError, TraceError
from dsasim.machine.transfer import Transfer
from dsasim.predictors import NO_STATE, Prediction, State, load_predictor
from dsasim.sim.parts import place_of
from dsasim.trace.attention import LayerTrace

Sharing = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""kv heads that are on chip together, and the bundles of query heads that use them."""


def build_layer(
    arch: ArchConfig, layer: LayerTrace, heads: Sequence[int], observe: Observer | None, state: State = NO_STATE
) -> tuple[LayerWork, State]:
    """The work of `heads` of a layer, kv heads and their query heads ascending; and what its method leaves behind.

    ConfigError if the design cannot hold it, TraceError if nothing may be attended to.
    """
    sharing = list(share_out(arch, layer, heads))
    chosen = load_predictor(arch, layer, state)
    if not layer.row_spans.any():
        raise TraceError(f"layer {layer.label} of the trace allows no query to attend to any key")
    shape = layer_shape(arch, layer, chosen.work, max(len(kv_heads) for kv_heads, _ in sharing))
    if chosen.work is not None:
        _check_barrier(arch, chosen.work, shape)
    placement = place_layer(arch, layer, chosen.work, shape.slots, shape.tiling)
    context = Context(arch, layer, chosen, shape, placement, Pools.empty(shape), observe)
    reads, projections = ((), ()) if chosen.work is None else _projections(context, chosen.work)
    constant = None if placement.predictor is None else placement.predictor.constant
    projection_read = None if constant is None else constant.transfer(0, 0, 1)
    kv_heads = tuple(_kv_heads(context, numbers, bundles) for numbers, bundles in sharing)
    work = LayerWork(
        place=place_of(layer),
        tile_rows=shape.tile_rows,
        slots=shape.slots,
        kv_heads=kv_heads,
        projection_read=projection_read,
        input_reads=reads,
        projections=projections,
        head_barrier=chosen.work is not None and chosen.work.barrier == "head",
    )
    return work, chosen.after()


def _check_barrier(arch: ArchConfig, work: Prediction, shape: LayerShape) -> None:
    """ConfigError where a mask waits for more scores than the predictor's buffer has slots for, a tile each."""
    method = f"predictor.method {arch.predictor.method}"
    if not work.of("query_tile"):
        raise ConfigError(f"{method}: has no operation a tile of queries, and the machine dsa scores tile by tile")
    if work.barrier in ("layer", "step"):
        raise ConfigError(
            f"{method}: masks wait for the scores of a whole {work.barrier}; the machine dsa makes those"
            " of a head when it has the head's scores at the latest"
        )
    tiles, slots = len(shape.tiles), shape.slots.predictor
    if work.barrier == "head" and tiles > slots:
        raise ConfigError(
            f"buffers.predictor: {method} makes no mask of a head before all its scores are there, {tiles} tiles of"
            f" {shape.tile_rows} rows, and the buffer has {slots} slots for them (see its num_slots and bytes)"
        )


def share_out(arch: ArchConfig, layer: LayerTrace, heads: Sequence[int]) -> Iterator[Sharing]:
    """Each kv head with its query heads one by one; or bundles of as many heads as there are lanes.

    Worked example: heads 0 .. 3 of which each two share a kv head are ((0,), ((0,), (1,))) and ((1,), ((2,), (3,)));
    with three lanes split over heads they are ((0, 1), ((0, 1, 2),)) and ((1,), ((3,),)).
    """
    ascending = sorted(heads)
    if arch.pe_array.lane_split == "heads":
        for first in range(0, len(ascending), arch.pe_array.lanes):
            bundle = tuple(ascending[first : first + arch.pe_array.lanes])
            yield tuple(sorted({layer.kv_head(head) for head in bundle})), (bundle,)
        return
    by_kv_head: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for head in ascending:
        by_kv_head[layer.kv_head(head)].append((head,))
    for kv_head, bundles in by_kv_head.items():
        yield (kv_head,), tuple(bundles)


def _projections(context: Context, work: Prediction) -> tuple[tuple[Transfer, ...], tuple[Work, ...]]:
    """The method's operations a layer, a tile of input rows at a time, as many as the predictor's buffer holds."""
    arch, tile_rows = context.arch, context.shape.tiling.input_rows
    assert context.placement.predictor is not None
    reads, jobs = [], []
    for region in context.placement.predictor.inputs:
        for first in range(0, region.rows, tile_rows):
            rows = min(tile_rows, region.rows - first)
            reads.append(region.transfer(0, first, rows))
            jobs.append(predictor.operations_work(arch, work.of("layer"), rows))
    return tuple(reads), tuple(jobs)


def _kv_heads(context: Context, numbers: tuple[int, ...], bundles: Sequence[tuple[int, ...]]) -> KVHeadWork:
    """The kv heads `numbers`, on chip together, and the bundles that use them."""
    layer, placement, shape = context.layer, context.placement, context.shape
    weights, keys = _weights_and_keys(context, numbers)
    whole_k, whole_v = (
        None if kept.pool_vectors else Transfer.joined([region.transfer(n, 0, layer.L_k) for n in numbers])
        for kept, region in ((shape.k, placement.k), (shape.v, placement.v))
    )
    return KVHeadWork(
        place=place_of(layer)._replace(kv_heads=numbers),
        bundles=tuple(bundle_work(context, numbers, bundle) for bundle in bundles),
        k_read=whole_k,
        v_read=whole_v,
        weights_read=weights,
        key_prediction=keys,
    )


def _weights_and_keys(context: Context, numbers: Sequence[int]) -> tuple[Transfer | None, Work | None]:
    """What the method reads and does for kv heads that are on chip together, one head after the other."""
    arch, work, place = context.arch, context.predictor.work, context.placement.predictor
    if work is None or place is None:
        return None, None
    weights = place.weights
    read = None if weights is None else Transfer.joined([weights.transfer(number, 0, 1) for number in numbers])
    operations = work.of("kv_head")
    return read, predictor.operations_work(arch, operations).times(len(numbers)) if operations else None
