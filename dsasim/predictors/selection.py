"""From scores to a keep mask, by the design's selector, a block of rows at a time."""

from dsasim import registry
from dsasim.config.schema import ArchConfig, MaskGeneratorConfig
from dsasim.errors import ConfigError
from dsasim.predictors.base import Selection
from dsasim.predictors.method import Scorer
from dsasim.predictors.selector import Rule, Selector
from dsasim.trace.attention import LayerTrace


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
