"""The example plugins, by `--plugin FILE` and from an installed package."""

import importlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from plugin_files import NAMES, PLUGINS

from dsasim import registry
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "example-plugins"
version = "1.0"

[project.entry-points."dsasim.methods"]
pooled_blocks = "example_plugins.pooled_blocks:PooledBlocks"

[project.entry-points."dsasim.selectors"]
top_blocks = "example_plugins.pooled_blocks:TopBlocks"

[project.entry-points."dsasim.dataflows"]
query_serial = "example_plugins.query_serial:QuerySerial"

[project.entry-points."dsasim.designs"]
sanger = "example_plugins.sanger:Sanger"
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a wheel of the plugins is installed in, built from a package of its own."""
    source = tmp_path_factory.mktemp("source")
    package = source / "example_plugins"
    package.mkdir()
    (source / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").write_text("")
    for name in NAMES:
        shutil.copy(PLUGINS / f"{name}.py", package)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=source, check=True, capture_output=True, env=os.environ | {"PYTHONWARNINGS": ""})
    (wheel,) = (source / "dist").glob("*.whl")
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test begins and ends without plugins."""
    monkeypatch.setenv(registry.VARIABLE, "")


@pytest.fixture
def package(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The installed package is found."""
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    registry._offered.cache_clear()
    yield
    monkeypatch.undo()
    registry._offered.cache_clear()
    for name in [name for name in sys.modules if name.startswith("example_plugins")]:
        del sys.modules[name]


@pytest.fixture(params=["file", "package"])
def plugin(request: pytest.FixtureRequest) -> Callable[[str], tuple[str, ...]]:
    """What stands before a command for a plugin to be known: `--plugin FILE`, or nothing where it is installed."""
    if request.param == "package":
        request.getfixturevalue("package")
        return lambda _: ()
    return lambda name: ("--plugin", str(PLUGINS / f"{name}.py"))


@pytest.fixture
def by_file() -> Callable[..., None]:
    """Make the plugins of files known in this process."""
    return lambda *names: registry.use_plugins([str(PLUGINS / f"{name}.py") for name in names])


@pytest.fixture
def small() -> Callable[..., AttentionTrace]:
    """A layer of two query heads that share a kv head, 8 tokens by 4 numbers; all ones, or what is given.

    `others`: length and seed of further sequences.
    """

    def layer(L: int, seed: int | None, d_head: int, causal: bool, sequence: int) -> LayerArrays:
        rng = np.random.default_rng(seed)
        shapes = {"q": (2, L, d_head), "k": (1, L, d_head), "v": (1, L, d_head), "x_q": (L, 2 * d_head)}
        tensors = {
            name: (np.ones(shape) if seed is None else rng.normal(size=shape)).astype(np.float32)
            for name, shape in shapes.items()
        }
        return LayerArrays(number=0, causal=causal, scale=0.5, sequence=sequence, **tensors)

    def make(
        causal: bool = False,
        L: int = 8,
        d_head: int = 4,
        seed: int | None = None,
        others: Sequence[tuple[int, int | None]] = (),
    ) -> AttentionTrace:
        batch = enumerate([(L, seed), *others])
        return trace_in_memory("small", [layer(*each, d_head, causal, sequence) for sequence, each in batch])

    return make
