"""Which heads are on chip together: the worked example of share_out."""

from collections.abc import Callable

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.layer import share_out
from dsasim.trace.attention import AttentionTrace, LayerTrace

SPLIT = ("pe_array.lane_split=heads", "pe_array.lanes=3", "scheduler.tile_rows=6")


def four_heads(masked: Callable[..., AttentionTrace]) -> LayerTrace:
    """Heads 0 .. 3, of which each two share a kv head."""
    return masked([[[[1]]] * 4], kv_heads=2).layer(0)


def test_a_kv_head_with_its_heads_one_by_one(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace]
) -> None:
    layer = four_heads(masked)
    assert list(share_out(tiny(), layer, [3, 1, 2, 0])) == [((0,), ((0,), (1,))), ((1,), ((2,), (3,)))]
    assert list(share_out(tiny(), layer, [3])) == [((1,), ((3,),))]


def test_as_many_heads_as_lanes(tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace]) -> None:
    assert list(share_out(tiny(*SPLIT), four_heads(masked), range(4))) == [((0, 1), ((0, 1, 2),)), ((1,), ((3,),))]
