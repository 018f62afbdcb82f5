"""Are the predicted scores those of the same integer arithmetic in PyTorch?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsasim.predictors.predicted import Predicted
from dsasim.trace.attention import LayerTrace
from dsasim.validate.check import Check, skipped
from dsasim.validate.emulation import emulated_layers
from dsasim.validate.subject import Subject

NAME, TITLE = "predictor_scores", "scores equal integers in PyTorch"


@dataclass
class _Count:
    """Scores compared, those that differ, and the first of these in words."""

    compared: int = 0
    different: int = 0
    first: str = ""

    def add(self, layer: LayerTrace, head: int, first_row: int, found: NDArray[Any], expected: NDArray[Any]) -> None:
        differs = found != expected
        self.compared += found.size
        self.different += int(np.count_nonzero(differs))
        if differs.any() and not self.first:
            row, key = (int(axis) for axis in np.unravel_index(int(np.argmax(differs)), differs.shape))
            self.first = (
                f"layer {layer.label} head {head} row {first_row + row} key {key}: "
                f"score {found[row, key]}, PyTorch has {expected[row, key]}"
            )


def check_predictor_scores(subject: Subject) -> list[Check]:
    """Every score of every position, bit for bit; the first that differs is named."""
    count, emulated = _Count(), emulated_layers(subject)
    for layer, head in subject.heads():
        emulation, predictor = emulated(layer), subject.predictor(layer)
        if emulation is None or not isinstance(predictor, Predicted) or not predictor.method.fitted:
            continue
        score, emulated_score = predictor.method.scorer(head), emulation.scorer(head)
        for block in layer.row_blocks():
            expected = emulated_score(block.rows).numpy()[:, : block.num_keys]
            count.add(layer, head, block.first, score(block), expected)
    if not count.compared:
        method = subject.arch.predictor.method
        return [skipped(NAME, TITLE, f"predictor.method {method} computes no scores of its own")]
    wrong = f"{count.first}; {count.different:,} of {count.compared:,} scores differ"
    return [
        Check(
            NAME,
            TITLE,
            "failed" if count.different else "passed",
            wrong if count.different else "integers, bit for bit",
            figures={"scores": count.compared, "different": count.different},
        )
    ]
