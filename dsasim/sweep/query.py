"""SQL on the rows of a sweep, by duckdb (extra `analysis`), which reads the results file in place."""

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from dsasim.errors import ConfigError
from dsasim.sweep.load import proven_lines
from dsasim.sweep.store import RESULTS, results_source


@dataclass(frozen=True)
class QueryResult:
    """Names of the columns, and the rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def query_sweep(folder: Path, sql: str) -> QueryResult:
    """Answer `sql` about the table `points`, one row a point: ConfigError if it cannot be.

    Nested values are reached by dots, keys with dots in quotes: SELECT axes."pe_array.lanes", energy_pj.total FROM
    points. COPY points TO 'points.parquet' exports.
    """
    try:
        import duckdb
    except ImportError:
        raise ConfigError("--query needs the extra analysis: pip install 'dsasim[analysis]'") from None
    path = folder / RESULTS
    with suppress(OSError):  # to open it says why
        if not path.exists():
            raise ConfigError(f"{path}: no such file; run the sweep first")
    deque(proven_lines(results_source(path), _refuse), maxlen=0)  # duckdb would take any JSON, a last line's too
    with duckdb.connect() as connection:
        try:
            # all rows are looked at: the first ones may all be invalid, and lack what the others have
            points = connection.read_json(str(path), format="newline_delimited", sample_size=-1)
            points.create_view("points")
            answer = connection.sql(sql)
            if answer is None:
                return QueryResult((), ())
            return QueryResult(tuple(answer.columns), tuple(answer.fetchall()))
        except duckdb.Error as error:
            # what and perhaps what was meant, then an empty line, the query and a mark: a line is one problem to us
            words = " ".join(str(error).partition("\n\n")[0].split())
            raise ConfigError(f"--query: {words}") from None


def _refuse(torn: str) -> NoReturn:
    raise ConfigError(torn)
