"""Compare the two simulators on many random cases: `PYTHONPATH=.:tests python -m twin.hunt given 0 1000`.

Methods: given, dsa2021, dense, oracle.
"""

import sys
import time
from random import Random

from twin.cases import random_case
from twin.compare import differences


def hunt(method: str, first: int, last: int) -> int:
    """Seeds first .. last - 1; prints each that differs, returns how many."""
    wrong, refused, began = 0, 0, time.process_time()
    for seed in range(first, last):
        if seed % 100 == 0:
            print(f"{method} {first}-{seed}: {wrong} differ so far, {refused} refused", flush=True)
        case = random_case(Random(seed), method)
        try:
            found = differences(case)
        except Exception as error:  # noqa: BLE001
            found = [f"{type(error).__name__}: {error}"]
        refused += found is None
        if found:
            wrong += 1
            print(f"{method} seed {seed}:", *found, sep="\n  ", flush=True)
    print(
        f"{method} {first}-{last}: {wrong} differ, {refused} refused, {time.process_time() - began:.0f} CPU s",
        flush=True,
    )
    return wrong


if __name__ == "__main__":
    sys.exit(bool(hunt(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
