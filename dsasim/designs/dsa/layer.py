"""From a layer of a trace to work for the units: its projection, its kv heads, and the bundles that share them.

One bundle's tensors, masks and plan are alive at a time; what stays is a few integers a tile.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from dsasim.config.schema import ArchConfig
from dsasim.errors import TraceError
from dsasim.machine.job import Place
from dsasim.machine.transfer import Transfer
from dsasim.designs.dsa import events, predictor
from dsasim.designs.dsa.work import Job, KVHeadWork, LayerWork
from dsasim.predictors import load_predictor
from dsasim.predictors.base import PredictionWork
from dsasim.designs.dsa.head_group import bundle_work
from dsasim.designs.dsa.context import Context, Observer, Pools
from dsasim.designs.dsa.placement import place_layer
from dsasim.designs.dsa.shape import layer_shape
from dsasim.trace.attention import LayerTrace

Sharing = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""kv heads that are on chip together, and the bundles of query heads that use them."""


def build_layer(arch: ArchConfig, layer: LayerTrace, heads: Sequence[int], observe: Observer | None) -> LayerWork:
    """The work of `heads` of a layer, kv heads and their query heads ascending.

    ConfigError if the design cannot hold it, TraceError if nothing may be attended to.
    """
    sharing = list(share_out(arch, layer, heads))
    chosen = load_predictor(arch, layer)
    if not layer.row_spans.any():
        raise TraceError(f"layer {layer.number} of the trace allows no query to attend to any key")
    shape = layer_shape(arch, layer, chosen.work, max(len(kv_heads) for kv_heads, _ in sharing))
    counts: Counter[str] = Counter(dict.fromkeys(counters.COUNTERS, 0))
    placement = place_layer(arch, layer, chosen.work, shape.slots, shape.tiling)
    context = Context(arch, layer, chosen, shape, placement, counts, Pools.empty(shape), observe)
    reads, projections = ((), ()) if chosen.work is None else _projections(context, chosen.work)
    projection_read = None if placement.predictor is None else placement.predictor.projection.transfer(0, 0, 1)
    counts["predictor_buffer_write_bytes"] += projection_read.num_bytes if projection_read else 0
    kv_heads = tuple(_kv_heads(context, numbers, bundles) for numbers, bundles in sharing)
    return LayerWork(
        layer=layer.number,
        tile_rows=shape.tile_rows,
        slots=shape.slots,
        kv_heads=kv_heads,
        projection_read=projection_read,
        input_reads=reads,
        projections=projections,
        counters=counts,
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


def _projections(context: Context, work: PredictionWork) -> tuple[tuple[Transfer, ...], tuple[Job, ...]]:
    """XP, a tile of input rows at a time, as many as the predictor's buffer holds."""
    arch, tile_rows = context.arch, context.shape.tiling.input_rows
    assert context.placement.predictor is not None
    reads, jobs = [], []
    for region in context.placement.predictor.inputs:
        for first in range(0, region.rows, tile_rows):
            rows = min(tile_rows, region.rows - first)
            reads.append(region.transfer(0, first, rows))
            jobs.append(predictor.projection_job(arch, work, rows))
            context.counters.update(counters.projection_counters(arch, work, rows))
    return tuple(reads), tuple(jobs)


def _kv_heads(context: Context, numbers: tuple[int, ...], bundles: Sequence[tuple[int, ...]]) -> KVHeadWork:
    """The kv heads `numbers`, on chip together, and the bundles that use them."""
    layer, placement, shape = context.layer, context.placement, context.shape
    weights, keys = _weights_and_keys(context, numbers)
    whole_k, whole_v = (
        None if kept.pool_vectors else Transfer.joined([region.transfer(n, 0, layer.L_k) for n in numbers])
        for kept, region in ((shape.k, placement.k), (shape.v, placement.v))
    )
    for name, read in (("k", whole_k), ("v", whole_v)):
        context.counters[f"{name}_buffer_write_bytes"] += read.num_bytes if read else 0
    return KVHeadWork(
        place=Place(layer.number, kv_heads=numbers),
        bundles=tuple(bundle_work(context, numbers, bundle) for bundle in bundles),
        k_read=whole_k,
        v_read=whole_v,
        weights_read=weights,
        key_prediction=keys,
    )


def _weights_and_keys(context: Context, numbers: Sequence[int]) -> tuple[Transfer | None, Job | None]:
    """W~ and K~ of kv heads that are on chip together, one head after the other."""
    arch, work, place = context.arch, context.predictor.work, context.placement.predictor
    if work is None or place is None:
        return None, None
    weights = Transfer.joined([place.weights.transfer(number, 0, 1) for number in numbers])
    context.counters["predictor_buffer_write_bytes"] += weights.num_bytes
    key = predictor.key_job(arch, work, context.layer.L_k)
    for _ in numbers:
        context.counters.update(counters.key_counters(arch, work, context.layer.L_k))
    return weights, key.times(len(numbers))
