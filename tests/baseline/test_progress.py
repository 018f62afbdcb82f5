"""Progress counts every head of every run, the baselines' too, so that the time left is of the whole."""

from dsasim.api import load_arch, load_trace, simulate
from dsasim.baseline.dense import DENSE_RUNS


def test_every_run_moves_the_same_bar() -> None:
    seen: list[tuple[int, int]] = []
    arch, trace = load_arch("dsa-decoupled"), load_trace("minilm-l128")
    simulate(arch, trace, layers=[2], heads=[0, 1], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(head + 1, 2 * (1 + DENSE_RUNS)) for head in range(2 * (1 + DENSE_RUNS))]
