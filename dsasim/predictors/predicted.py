"""A method with its selector on one layer."""

from dsasim.predictors.base import Selection
from dsasim.predictors.method import Method
from dsasim.predictors.operation import Prediction
from dsasim.predictors.selection import generator_of, select_rows, selector_of
from dsasim.predictors.state import State


class Predicted:
    """Scores its heads and selects from them, or takes the masks that the method gives."""

    def __init__(self, method: Method) -> None:
        self.method = method
        work = method.prediction
        block = (1, 1) if work is None else work.storage.score_block
        self._selector = selector_of(generator_of(method.arch), block) if method.scored else None

    @property
    def work(self) -> Prediction | None:
        """What predicting the layer costs; None where it is free of charge."""
        return self.method.prediction

    def select(self, head: int, /) -> Selection:
        """The mask of a query head; what is free to predict is free to select."""
        method, layer, selector = self.method, self.method.layer, self._selector
        if selector is None:
            return Selection.free(method.mask(head))
        rule = selector.rule(layer, method.unit(head))
        selection = select_rows(layer, method.scorer(head), rule, selector.block_rows)
        return selection if method.kinds else Selection.free(selection.keep)

    def after(self) -> State:
        """What the layer leaves for those after it."""
        return self.method.after()
