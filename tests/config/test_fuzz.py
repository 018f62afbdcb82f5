"""Whatever a file or a flag holds, the answer is a design or a ConfigError."""

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from dsasim.config.check import check_document
from dsasim.config.keys import all_keys
from dsasim.config.loader import list_archs, load_arch
from dsasim.config.strict_yaml import parse_document, parse_scalar, scalar_value
from dsasim.errors import ConfigError

DEFAULT = next(arch.path for arch in list_archs() if arch.name == "dsa-decoupled").read_text(encoding="utf-8")
LINES = DEFAULT.split("\n")

any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
odd_text = st.text(alphabet="0123456789.eE+-_:xo~ny&*!|>%@`'\"[]{},#? \t\n\\ab=", max_size=12)


def check(text: str) -> None:
    """Parse and check a text as `load_arch` does."""
    with suppress(ConfigError):
        check_document(parse_document(text, "d.yaml"))


@given(st.text())
def test_any_text(text: str) -> None:
    check(text)


@given(odd_text)
@example("= 1")
@example("a: 2021-13-45")
def test_any_odd_text(text: str) -> None:
    check(text)


@given(st.integers(0, len(LINES) - 1), odd_text)
def test_any_line_replaced(line: int, text: str) -> None:
    check("\n".join([*LINES[:line], text, *LINES[line + 1 :]]))


@given(st.sampled_from(sorted(all_keys())), any_value)
def test_any_value_at_any_key(path: tuple[str, ...], value: object) -> None:
    document = parse_document(DEFAULT, "d.yaml")
    section = document.values
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    with suppress(ConfigError):
        check_document(document)


a_key = st.sampled_from(sorted(map(".".join, all_keys())))


@given(st.text(max_size=20) | st.builds("{}={}".format, a_key, odd_text))
def test_any_override(override: str) -> None:
    with suppress(ConfigError):
        load_arch("dsa-decoupled", [override])


@given(odd_text)
def test_any_scalar(text: str) -> None:
    with suppress(ConfigError):
        parse_scalar(text, "--set")
    with suppress(ValueError):
        scalar_value(text, plain=True)
