"""All checks of a design on a trace, one after the other."""

from collections.abc import Callable, Iterable

import torch

from dsasim.api import chosen_heads, effective_arch
from dsasim.config.loader import usual_arch
from dsasim.config.resolved import arch_sha256
from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.sim.design import Progress
from dsasim.sim.engine import run_notes
from dsasim.trace.attention import AttentionTrace, LayerTrace
from dsasim.trace.schema import prefix_of
from dsasim.validate.check import Check, skipped
from dsasim.validate.gpu.hardware import device_name, driver_and_clocks
from dsasim.validate.gpu.sensors import open_sensors
from dsasim.validate.keep_mask import check_keep_mask
from dsasim.validate.mask_quality import check_mask_quality
from dsasim.validate.model_output import check_model_output
from dsasim.validate.operands import check_operands
from dsasim.validate.predictor_scores import check_predictor_scores
from dsasim.validate.predictor_weights import check_predictor_weights
from dsasim.validate.provenance import source_sha256, versions
from dsasim.validate.result import ValidatedShape, Validation
from dsasim.validate.sparse_output import check_sparse_output
from dsasim.validate.subject import Subject

Step = Callable[[Subject], list[Check]]

STEPS: tuple[Step, ...] = (
    check_operands,
    check_model_output,
    check_predictor_weights,
    check_predictor_scores,
    check_keep_mask,
    check_sparse_output,
    check_mask_quality,
)
"""In the order of the report; the first must pass for the others to be made."""


def validate(
    arch: ArchConfig,
    trace: AttentionTrace,
    layers: Iterable[int] | None = None,
    heads: Iterable[int] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Validation:
    """Compare every step of a run with PyTorch; see the checks for what is compared with what.

    `device` is auto (CUDA where there is a GPU), cpu or cuda. ConfigError: no such device, or a design that does not
    fit the trace; TraceError: a layer or head that is not there.
    """
    arch = usual_arch(effective_arch(arch, trace), "dsasim validate")
    selection = chosen_heads(trace, layers, heads)
    total = len(STEPS) * sum(len(heads) for _, heads in trace.chosen(selection))
    done = 0

    def tick() -> None:
        nonlocal done
        if progress is not None:
            progress(done, total)
        done += 1

    subject = Subject(arch, trace, selection, chosen_device(device), tick)
    return Validation(
        arch_name=arch.name,
        arch_sha256=arch_sha256(arch),
        trace=trace.meta,
        selection=selection,
        device=subject.device,
        machine={"name": device_name(subject.device)} | driver_and_clocks(open_sensors(subject.device)),
        source_sha256=source_sha256(),
        versions=versions(),
        shapes={number: tuple(map(shape_of, trace.batch(number))) for number in selection},
        checks=tuple(_checks(subject)),
        notes=run_notes(arch, trace),
    )


def shape_of(layer: LayerTrace) -> ValidatedShape:
    """The sizes of a layer, and the type that its operands are stored in."""
    name = f"{prefix_of(*layer.key)}.q"
    stored = layer.source.read(name, 0).dtype.name if layer.has_qkv else "bits"
    return ValidatedShape(layer.num_heads, layer.num_kv_heads, layer.L_q, layer.L_k, layer.d_head, layer.causal, stored)


def chosen_device(device: str) -> str:
    """`cpu` or `cuda`; ConfigError for a CUDA that is not there."""
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ConfigError("--device cuda: PyTorch finds no CUDA device; --device cpu needs none")
    return ("cuda" if has_cuda else "cpu") if device == "auto" else device


def _checks(subject: Subject) -> list[Check]:
    first, *others = STEPS
    checks = first(subject)
    if any(check.status == "failed" for check in checks):
        return [*checks, skipped("other_checks", "all other checks", "the trace holds a value that is not valid")]
    for step in others:
        checks += step(subject)
    return checks
