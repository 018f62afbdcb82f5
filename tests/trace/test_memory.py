"""What a memory holds, and what it forgets first."""

import numpy as np

from dsasim.trace.memory import OVERHEAD_BYTES, Form, Memory

FORM = Form[np.ndarray](lambda value: {"value": value}, lambda arrays: arrays["value"])
KILOBYTE = np.zeros(1000, np.uint8)


def asked(memory: Memory, keys: str) -> str:
    """Ask for the value of each key; the keys whose value had to be computed."""
    computed = []

    def compute_for(key: str) -> np.ndarray:
        return memory.recall(key, lambda: computed.append(key) or KILOBYTE, FORM)

    for key in keys:
        assert compute_for(key) is KILOBYTE
    return "".join(computed)


def test_what_was_used_least_recently_is_forgotten_first() -> None:
    """Room for three values: a is used again before d comes, so b goes; then c, when b comes back."""
    memory = Memory(3 * (1000 + OVERHEAD_BYTES))
    assert asked(memory, "abc") == "abc"
    assert asked(memory, "a") == ""
    assert asked(memory, "d") == "d"
    assert asked(memory, "acd") == ""
    assert asked(memory, "b") == "b"
    assert asked(memory, "cdb") == ""
    assert asked(memory, "a") == "a"


def test_a_value_that_does_not_fit_is_computed_each_time_and_leaves_nothing() -> None:
    memory = Memory(1000)
    assert asked(memory, "aa") == "aa"


def test_bytes_of_what_was_forgotten_are_free_again() -> None:
    memory = Memory(2 * (1000 + OVERHEAD_BYTES))
    assert asked(memory, "abcdefgh") == "abcdefgh"
    assert asked(memory, "gh") == ""
