"""What a cache holds, and what it evicts first."""

import numpy as np

from dsasim.trace.cache import OVERHEAD_BYTES, Codec, MemoryCache

CODEC = Codec[np.ndarray](lambda value: {"value": value}, lambda arrays: arrays["value"])
KILOBYTE = np.zeros(1000, np.uint8)


def computed_of(cache: MemoryCache, keys: str) -> str:
    """Take the value of each key; the keys whose value had to be computed."""
    computed = []

    def compute_for(key: str) -> np.ndarray:
        return cache.get_or_compute(key, lambda: computed.append(key) or KILOBYTE, CODEC)

    for key in keys:
        assert compute_for(key) is KILOBYTE
    return "".join(computed)


def test_what_was_used_least_recently_is_evicted_first() -> None:
    """Space for three values: a is used again before d comes, so b goes; then c, when b comes back."""
    cache = MemoryCache(3 * (1000 + OVERHEAD_BYTES))
    assert computed_of(cache, "abc") == "abc"
    assert computed_of(cache, "a") == ""
    assert computed_of(cache, "d") == "d"
    assert computed_of(cache, "acd") == ""
    assert computed_of(cache, "b") == "b"
    assert computed_of(cache, "cdb") == ""
    assert computed_of(cache, "a") == "a"


def test_a_value_that_does_not_fit_is_computed_each_time_and_leaves_nothing() -> None:
    cache = MemoryCache(1000)
    assert computed_of(cache, "aa") == "aa"


def test_bytes_of_what_was_evicted_are_free_again() -> None:
    cache = MemoryCache(2 * (1000 + OVERHEAD_BYTES))
    assert computed_of(cache, "abcdefgh") == "abcdefgh"
    assert computed_of(cache, "gh") == ""
