"""How many keys a row can keep, for which slots are sized."""

from collections.abc import Callable

import pytest

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.shape import _most_kept

TOP_K = ("predictor.method=oracle_topk", "mask_generator.density=0.1")


@pytest.mark.parametrize(("allowed", "kept"), [(510, 51), (511, 52), (512, 52), (1, 1), (0, 1)])
def test_a_tenth_of_the_keys_rounded_up(allowed: int, kept: int) -> None:
    assert _most_kept(load_arch("dsa-decoupled", TOP_K), allowed, allowed) == kept


@pytest.mark.parametrize("method", ["given", "dense"])
def test_without_top_k_all_that_are_allowed(tiny: Callable[..., ArchConfig], method: str) -> None:
    assert _most_kept(tiny(f"predictor.method={method}", "mask_generator.density=0.1"), 512, 512) == 512
