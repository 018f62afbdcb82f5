"""What a selector is: masks from scores, what selecting each row takes, and what a selector unit is made of."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeAlias

from dsasim import registry
from dsasim.config.schema import ArchConfig, MaskGeneratorConfig
from dsasim.errors import ConfigError
from dsasim.masks import Selection
from dsasim.methods.base import Scorer, Scores
from dsasim.silicon.operations import Price
from dsasim.trace.attention import LayerTrace
from dsasim.trace.positions import RowBlock

Rule: TypeAlias = Callable[[RowBlock, Scores], Selection]
"""Selects from the scores [num_rows, num_keys] of a block."""


class SelectorSilicon(NamedTuple):
    """One selector: `lanes` of `silicon` each, of which a comparison uses `used`."""

    lanes: int
    silicon: Price
    used: Price


class Selector:
    """Base of all selectors, made of the section `mask_generator` of a design."""

    summary: ClassVar[str] = ""
    """One line for `dsasim list selectors`."""

    Settings: ClassVar[type[MaskGeneratorConfig]] = MaskGeneratorConfig
    """The section `mask_generator` of a design that uses it."""

    def __init__(self, generator: MaskGeneratorConfig, score_block: tuple[int, int] = (1, 1)) -> None:
        self.generator = generator
        self.score_block = score_block
        """Rows and keys that one score of the method is for; `rule` is given it at each of their positions."""

    def rule(self, layer: LayerTrace, score_scale: float) -> Rule:
        """How blocks of a layer are selected; `score_scale`: a score of 1 as a scaled score of the model."""
        raise NotImplementedError

    @property
    def block_rows(self) -> int:
        """Query rows that are selected together: what `rule` is given, and a tile of a machine, has whole blocks.

        What selecting a block takes is noted at its first row.
        """
        return 1

    def most_kept(self, allowed: int, num_keys: int) -> int:
        """Keys that a row can keep of which `allowed` of all `num_keys` are."""
        del num_keys
        return allowed

    def silicon(self, score_bits: int, technology_nm: int) -> SelectorSilicon:
        """What one selector of scores of `score_bits` is made of."""
        raise NotImplementedError


def generator_of(arch: ArchConfig) -> MaskGeneratorConfig:
    """The mask generator of a design; ConfigError where it has none."""
    if arch.mask_generator is None:
        raise ConfigError(f"mask_generator: needed by predictor.method={arch.predictor.method}; the design has none")
    return arch.mask_generator


def selector_of(generator: MaskGeneratorConfig, score_block: tuple[int, int] = (1, 1)) -> Selector:
    """The selector of a mask generator, for scores of blocks of rows and keys."""
    selector: Selector = registry.find("selectors", generator.selection)(generator, score_block)
    return selector


def select_rows(layer: LayerTrace, score: Scorer, rule: Rule, together: int = 1) -> Selection:
    """Score and select a head a block of rows at a time, whole ones of the rows that are selected `together`.

    The mask does not depend on where else blocks are cut.
    """
    return Selection.join([rule(block, score(block)) for block in layer.row_blocks(together)], layer.L_k)
