"""Is every number that the chosen heads are made of finite, and every key that a stored mask keeps allowed?"""

from collections.abc import Iterator
from typing import Any

from dsasim.errors import TraceError
from dsasim.trace.attention import LayerTrace
from dsasim.validate.check import Check
from dsasim.validate.subject import Subject

NAME, TITLE = "operands", "every stored value is valid"


def check_operands(subject: Subject) -> list[Check]:
    """Read all that the other checks read; what is wrong fails, naming the tensor or layer, the head and the place."""
    values = 0
    for layer, head in subject.heads():
        try:
            values += sum(array.size for array in _arrays(subject, layer, head))
        except TraceError as error:
            return [Check(NAME, TITLE, "failed", str(error))]
    return [Check(NAME, TITLE, "passed", figures={"values": values})]


def _arrays(subject: Subject, layer: LayerTrace, head: int) -> Iterator[Any]:
    if not layer.has_qkv or subject.arch.predictor.method == "given":
        yield from (bits for bits in (layer.given_bits(head),) if bits is not None)
    if not layer.has_qkv:
        return
    yield layer.q(head)
    yield layer.k(layer.kv_head(head))
    yield layer.v(layer.kv_head(head))
    yield from (array for array in (layer.bias(head), *(layer.sampled_outputs(head) or ())) if array is not None)
    if head != subject.selection[layer.number][0]:
        return
    yield layer.x_q()
    yield layer.x_kv()
    sigma = subject.arch.predictor.sigma
    if sigma is not None and (fitted := layer.predictor(sigma)) is not None:
        yield from (fitted.w_q, fitted.w_k, fitted.extra_q, fitted.extra_k)
