"""Planted bugs, each of which a test must notice: `pytest -m mutation`.

The bugs are data (bugs/*.toml). One whose text is no longer in its file fails; so does a test named that fails
without any bug.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mutation.planting import FAILED, PASSED, Bug, Checkout, load_bugs

pytestmark = pytest.mark.mutation

ROOT = Path(__file__).resolve().parents[2]
BUGS = load_bugs()
LEAST_KILLED = 0.9


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A copy of the checkout in which all tests named pass."""
    with closing(Checkout(ROOT, tmp_path_factory.mktemp("checkout"))) as copy:
        assert copy.run(sorted({test for bug in BUGS for test in bug.tests})) == PASSED, copy.output
        yield copy


def test_every_bug_can_be_planted() -> None:
    names = [(bug.area, bug.name) for bug in BUGS]
    assert len(set(names)) == len(names)
    for bug in BUGS:
        sound = (ROOT / "dsasim" / bug.file).read_text(encoding="utf-8")
        compile(bug.planted(sound), bug.file, "exec")


def test_few_bugs_are_known_to_survive() -> None:
    killed = sum(not bug.survives for bug in BUGS)
    assert killed >= LEAST_KILLED * len(BUGS)
    assert len(BUGS) >= 60


@pytest.mark.parametrize("bug", BUGS, ids=[f"{bug.area}: {bug.name}" for bug in BUGS])
def test_a_planted_bug_is_noticed(bug: Bug, checkout: Checkout) -> None:
    with checkout.planted(bug):
        status = checkout.run(bug.tests)
    if bug.survives:
        assert status == PASSED, f"is noticed now: {bug.survives} is no longer true"
        pytest.xfail(bug.survives)
    assert status == FAILED, f"no test noticed; {bug.harm}"
