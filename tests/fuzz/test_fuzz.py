"""Whatever a file holds, a reader takes it for what it is or refuses it in one line: mutants of every kind of file.

pytest tests/fuzz             a share of the mutants that takes half a minute
pytest tests/fuzz -m fuzz     100,000 others
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from fuzz.attack import Reader, attack
from fuzz.commands import command_readers, run_command
from fuzz.requests import request_readers
from fuzz.results import result_readers
from fuzz.texts import text_readers
from fuzz.traces import mask_readers, trace_readers

MUTANTS = {
    "trace": 500,
    "header of fitted": 400,
    "header of masks": 300,
    "metadata of fitted": 350,
    "metadata of masks": 350,
    "npy header": 600,
    "import-mask": 350,
    "design": 250,
    "scraps of YAML": 300,
    "--set": 350,
    "sweep spec": 150,
    "result": 250,
    "rows": 200,
    "rows of a folder": 250,
    "store": 200,
    "GPU profile": 300,
    "requests": 400,
    "gzipped": 200,
    "requests gzipped": 150,
    "dsasim trace (trace)": 15,
    "dsasim trace (import-mask)": 15,
    "dsasim arch (design)": 15,
    "dsasim report (result)": 10,
    "dsasim report (rows)": 10,
    "dsasim dram (requests)": 15,
}
LONG = 100_000
COMMANDS_LONG = 200


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Reader]:
    """All readers and commands by name."""
    folder = tmp_path_factory.mktemp("seeds")
    found = (*trace_readers(folder), *mask_readers(), *text_readers(folder), *result_readers(folder, run_command))
    found += request_readers()
    return {reader.name: reader for reader in (*found, *command_readers(found))}


@pytest.fixture
def place(readers: Mapping[str, Reader], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for mutants, with what a spec of a sweep names."""
    seeds = next(tmp_path_factory.getbasetemp().glob("seeds*"))
    for name in ("base.yaml", "masks.safetensors"):
        (tmp_path / name).symlink_to(seeds / name)
    return tmp_path


def test_every_reader_has_its_mutants(readers: Mapping[str, Reader]) -> None:
    assert readers.keys() == MUTANTS.keys()
    assert sum(MUTANTS.values()) >= 4000


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants(name: str, readers: Mapping[str, Reader], place: Path) -> None:
    outcome = attack(readers[name], range(MUTANTS[name]), place)
    assert not outcome.failures, "\n".join(outcome.failures[:10])
    bitten = outcome.counts["refused"] > MUTANTS[name] // 10
    assert bitten or readers[name].repairs, "mutations that break nothing test nothing"


@pytest.mark.fuzz
@pytest.mark.parametrize("name", MUTANTS)
def test_many_mutants(name: str, readers: Mapping[str, Reader], place: Path) -> None:
    plain = [other for other in MUTANTS if not other.startswith("dsasim ")]
    count = COMMANDS_LONG if name.startswith("dsasim ") else LONG // len(plain) + 1
    first = MUTANTS[name]
    outcome = attack(readers[name], range(first, first + count), place)
    print(f"{name}: {dict(outcome.counts)}, {len(outcome.failures)} wrong")
    assert not outcome.failures, "\n".join(outcome.failures[:10])
