"""DSA in PyTorch (extra `torch`): the prediction path inside a model, trained jointly with it.

dsa = attach(model, [lambda: model(x) for x in some_inputs], sigma="0.25", bits=4)
dsa.rule = TopK("0.1")
with dsa:                                                # inside, attention keeps what the rule keeps
    loss = task_loss(model(x), y) + 0.1 * dsa.mse_loss()     # L = L_task + lambda L_MSE
dsa.save("trained.safetensors", lambda: model(x))        # a trace with the trained predictor, for `dsasim run`
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dsasim.trace.capture import needs_torch

if TYPE_CHECKING:
    from dsasim.train.dsa.model import DsaModule


def attach(
    model: Any,
    runs: Sequence[Callable[[], object]],
    *,
    sigma: str | Decimal,
    bits: int,
    rank: int | None = None,
    seed: int = 0,
) -> "DsaModule":
    """A prediction path for every attention of an `nn.Module`, begun as the closed-form fit to what `runs` show.

    Each run calls the model once, on inputs of one length without padding; of a batch the first sample counts. Rotary
    models get position columns. The result keeps every position until it is given a `rule`.
    TraceError names the pip command when PyTorch is missing, and says which attention cannot be followed; ConfigError:
    a sigma, width or rank that cannot be.
    """
    needs_torch("training DSA")
    from dsasim.train.dsa.start import fitted_dsa

    return fitted_dsa(model, runs, sigma, bits, rank, seed)
