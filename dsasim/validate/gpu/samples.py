"""Raw samples: one row a time that was taken, as CSV."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.timing import Timing


@dataclass(frozen=True)
class TimeSample:
    """One time in microseconds; `sm_mhz_low` and `_high` are those of its trial, empty without sensors."""

    kernel: str
    L: int
    num_heads: int
    d_head: int
    causal: bool
    density: float
    trial: int
    sample: int
    us: float
    sm_mhz_low: int | None
    sm_mhz_high: int | None


def samples_of(kernel: str, case: Case, timing: Timing) -> list[TimeSample]:
    """All samples of a kernel on a case, in the order they were taken."""
    shape = kernel, case.L, case.num_heads, case.d_head, case.causal, case.density
    rows = list[TimeSample]()
    for number, trial in enumerate(timing.trials):
        clocks = [reading.sm_mhz for reading in trial.readings]
        low, high = (min(clocks), max(clocks)) if clocks else (None, None)
        rows += [TimeSample(*shape, number, at, us, low, high) for at, us in enumerate(trial.times_us)]
    return rows


def samples_csv(samples: Iterable[TimeSample]) -> str:
    """The text of a CSV file of samples, its first line the names of the columns."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(field.name for field in fields(TimeSample))
    rows.writerows(map(astuple, samples))
    return text.getvalue()
