"""The same loop on a dask cluster of two processes."""

from functools import partial
from pathlib import Path

import pytest
import sweep_tasks as tasks

from dsasim.errors import ConfigError
from dsasim.sweep.cluster import ClusterWorkers
from dsasim.sweep.pool import LocalWorkers
from dsasim.sweep.runner import run_sweep
from dsasim.sweep.spec import load_sweep_spec
from dsasim.sweep.store import RESULTS

distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
from dask import config as dask_config  # noqa: E402

SPEC = """
base: dsa-edge
traces: {trace: minilm-l128, layers: 2, heads: 0}
axes: {pe_array.lanes: [1, 2, 4], scheduler.tile_rows: [16, 18, 32]}
objectives: [cycles, captured_mass_ratio]
"""

POISON = """
base: dsa-edge
traces: {trace: minilm-l128, layers: 2, heads: 0}
axes: {pe_array.lanes: {from: 1, to: 12}}
objectives: [cycles, area_mm2]
"""


@pytest.mark.filterwarnings("ignore")  # dask's own
def test_a_cluster_gives_the_bytes_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC)
    spec = load_sweep_spec(tmp_path / "s.yaml")
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        run_sweep(spec, tmp_path / "cluster", ClusterWorkers(cluster.scheduler_address))
    run_sweep(spec, tmp_path / "local", LocalWorkers(1))
    assert (tmp_path / "cluster" / RESULTS).read_bytes() == (tmp_path / "local" / RESULTS).read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_a_poisonous_point_fails_alone_on_a_cluster_too(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(POISON)
    spec = load_sweep_spec(tmp_path / "s.yaml")
    poison = partial(tasks.poisoned, lanes=9)
    with (
        dask_config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        result = run_sweep(spec, tmp_path / "out", ClusterWorkers(cluster.scheduler_address), simulation=poison)
    assert result.with_status("failed") == [8]
    assert result.outcomes[8].reason == "its worker process died 2 times"
    assert len(result.with_status("ok")) == 11


@pytest.mark.filterwarnings("ignore")
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsasim.sweep.cluster.TIMEOUT_SECONDS", 1)
    with pytest.raises(ConfigError, match=r"--scheduler tcp://127\.0\.0\.1:9: "):
        ClusterWorkers("tcp://127.0.0.1:9")
