"""What is said where an extra is not installed."""

import sys
from collections.abc import Callable

import pytest
import sweep_tasks as tasks

from dsasim.errors import ConfigError
from dsasim.sweep.cluster import ClusterWorkers


def test_a_search_names_its_extra(spec: Callable, sweep: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"strategy nsga2 needs the extra sweep: pip install 'dsasim\[sweep\]'"):
        sweep(spec(strategy="{method: nsga2, points: 4}"), tasks.quick)


def test_a_cluster_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"--scheduler needs the extra cluster"):
        ClusterWorkers("tcp://localhost:1")
