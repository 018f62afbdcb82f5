"""Bundles of heads: where each head's rows and keys go."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dsasim.designs.dsa.interleave import Interleaving
from dsasim.masks import KeepMask


def test_worked_example() -> None:
    """Two lanes, T = 2, three rows a head: a0 a1 b0 b1 a2 - b2 -."""
    rows = Interleaving(2, 2).rows([np.array([1, 2, 3]), np.array([4, 5, 6])])
    assert rows.tolist() == [1, 2, 4, 5, 3, 0, 6, 0]


def test_one_place_leaves_a_head_as_it_is() -> None:
    keep = KeepMask.from_dense(np.eye(3, dtype=np.bool_))
    assert Interleaving(1, 2).keep([keep], [0]) is keep


@given(
    lanes=st.integers(2, 4),
    group_rows=st.integers(1, 3),
    L_q=st.integers(1, 7),
    L_k=st.integers(1, 5),
    data=st.data(),
)
def test_every_row_keeps_its_keys_at_its_place(lanes: int, group_rows: int, L_q: int, L_k: int, data) -> None:
    heads = data.draw(st.integers(1, lanes))
    kv_places = [head // 2 for head in range(heads)]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    masks = [rng.random((L_q, L_k)) < 0.5 for _ in range(heads)]
    bundle = Interleaving(lanes, group_rows).keep([KeepMask.from_dense(mask) for mask in masks], kv_places)
    places = [
        (head, group * group_rows + row) if head < heads and group * group_rows + row < L_q else None
        for group in range(-(-L_q // group_rows))
        for head in range(lanes)
        for row in range(group_rows)
    ]
    assert len(bundle.indptr) == len(places) + 1
    for place, found in zip(places, np.split(bundle.indices, bundle.indptr[1:-1]), strict=True):
        wanted = [] if place is None else np.flatnonzero(masks[place[0]][place[1]]) + kv_places[place[0]] * L_k
        assert found.tolist() == list(wanted)
