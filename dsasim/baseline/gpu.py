"""Dense attention on GPUs by roofline, beside a design: raw ratios, and ratios for the same peak and bandwidth.

A layer's attention on one GPU takes max(FLOPs / (peak * efficiency * occupancy), bytes / bandwidth) + launches.
FLOPs count 4 * d_head a position; the fused kernel leaves out those beyond the diagonal of a causal layer. Bytes are
Q, K, V and O in fp16 (a profile's own type), and for the unfused kernels four passes over the scores too. Efficiencies
are measured ones (tables/gpus.yaml).
Occupancy: a kernel's blocks of 128 query rows of a head are dealt out to the SMs in waves, so a batch of one leaves
most of a big GPU idle (grid of FlashAttention-2, Dao, arXiv 2307.08691, section 3.2). All sequences of a trace are one
batch: a layer is one call, whatever their lengths (as FlashAttention's of variable lengths).

A GPU has hundreds of times the peak and bandwidth of a small accelerator, so the raw ratio alone compares sizes. The
peak-normalised ratio is the raw one times the GPU's peak over ours (all our MACs, those of the prediction too:
`baseline.peak`), as if so many of our machines worked at once that they made the GPU's peak; the bandwidth-normalised
ratio does the same with memory bandwidth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dsasim.baseline.gpu_table import Gpu, Reached, efficiency
from dsasim.baseline.peak import Peak, peak_of
from dsasim.config.schema import MachineConfig
from dsasim.silicon.sourced import FROM_MEMORY, provenance
from dsasim.trace.attention import AttentionTrace, LayerTrace

BLOCK_ROWS = 128
"""Query rows, and in unfused products keys too, of one thread block: a usual tile of tensor-core kernels, assumed."""

SKIPS_BEYOND_DIAGONAL = {"fused"}
LAUNCHES = {"fused": 1, "unfused": 3}
SCORE_PASSES = {"fused": 0, "unfused": 4}
"""Times the scores go through memory: S written and read, P written and read."""


@dataclass(frozen=True)
class AttentionShape:
    """The attention of one layer on one sequence, as many heads of it as were chosen."""

    num_heads: int
    num_kv_heads: int
    L_q: int
    L_k: int
    d_head: int
    causal: bool

    @property
    def positions(self) -> int:
        """Positions of one head that a kernel must compute: the last query row sees every key.

        Worked example: causal, 3 rows of 5 keys: 3 + 4 + 5 = 12.
        """
        if not self.causal:
            return self.L_q * self.L_k
        seeing = min(self.L_q, self.L_k)  # rows that see a key; the first of them L_k - seeing + 1
        return seeing * (self.L_k - seeing) + seeing * (seeing + 1) // 2

    @property
    def flops(self) -> int:
        """Multiply-adds of Q K^T and P V, two operations each."""
        return 4 * self.d_head * self.num_heads * self.positions


Batch = tuple[AttentionShape, ...]
"""A layer on the sequences of a batch."""


@dataclass(frozen=True)
class GpuBaseline:
    """Dense attention of a run on one GPU; ratios are GPU time over ours, so above 1 we are faster.

    `launch_ns` is the part of `time_ns` that kernel launches take: on short inputs most of it. It is assumed, unless
    `basis` is measured (a profile). `assumed` says that the peak, the bandwidth or the efficiency is, too;
    `same_shape` that the efficiency was measured at shapes like the run's, not at another length, head size or mask.
    """

    gpu: str
    kernel: str
    basis: Literal["roofline", "measured"]
    assumed: bool
    same_shape: bool
    time_ns: float
    launch_ns: float
    speedup_ratio: float
    peak_normalised_ratio: float
    bandwidth_normalised_ratio: float
    efficiency_source: str


def gpu_baselines(
    arch: MachineConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    attention_cycles: int,
    gpus: Iterable[Gpu],
) -> tuple[GpuBaseline, ...]:
    """Each GPU with each kernel that it has an efficiency of, on the layers and heads of a run."""
    batches = attention_batches(trace, selection)
    ours_ns = attention_cycles / float(arch.clock_ghz)
    peak = peak_of(arch)
    return tuple(_beside(gpu, kernel, batches, ours_ns, peak) for gpu in gpus for kernel in gpu.efficiencies)


def _beside(gpu: Gpu, kernel: str, batches: Sequence[Batch], ours_ns: float, peak: Peak) -> GpuBaseline:
    time_ns = sum(batch_ns(gpu, kernel, batch) for batch in batches)
    ratio = time_ns / ours_ns
    reached = [_reached(gpu, kernel, shape) for batch in batches for shape in batch]
    return GpuBaseline(
        gpu=gpu.name,
        kernel=kernel,
        basis="measured" if gpu.measured else "roofline",
        assumed=gpu.assumed or reached[0].trust == FROM_MEMORY,
        same_shape=all(each.same_shape for each in reached),
        time_ns=time_ns,
        launch_ns=len(batches) * LAUNCHES[kernel] * gpu.launch_ns,
        speedup_ratio=ratio,
        peak_normalised_ratio=ratio * gpu.peak_fp16_tflops.value / peak.tflops,
        bandwidth_normalised_ratio=ratio * gpu.memory_gbps.value / peak.memory_gbps,
        efficiency_source=provenance(reached[0].source, reached[0].trust),
    )


def attention_batches(trace: AttentionTrace, selection: Mapping[int, Sequence[int]]) -> tuple[Batch, ...]:
    """The chosen heads of each layer, on each sequence, as one call of a GPU kernel."""
    return tuple(
        tuple(_shape(layer, heads) for layer in trace.batch(number)) for number, heads in selection.items() if heads
    )


def _shape(layer: LayerTrace, heads: Sequence[int]) -> AttentionShape:
    return AttentionShape(
        num_heads=len(heads),
        num_kv_heads=len({layer.kv_head(head) for head in heads}),
        L_q=layer.L_q,
        L_k=layer.L_k,
        d_head=layer.d_head,
        causal=layer.causal,
    )


def attention_ns(gpu: Gpu, kernel: str, shape: AttentionShape, density: float = 1.0) -> float:
    """Time of a batch of one, see `batch_ns`."""
    return batch_ns(gpu, kernel, (shape,), density)


def batch_ns(gpu: Gpu, kernel: str, batch: Batch, density: float = 1.0) -> float:
    """Time of one layer's attention, in ns; dense, or of a kernel that computes `density` of the positions.

    Worked example: 2 heads of 1024 x 1024, d_head 64, on 16 SMs of 1 TFLOP/s peak in all at efficiency 0.5: 0.537 GFLOP
    at full occupancy (16 blocks of 128 rows on 16 SMs) are 1.074 ms, and a launch of 5 us makes 1.079 ms. On 32 SMs of
    2 TFLOP/s in all it takes as long, half of them idle, and so does a batch of two.
    """
    if kernel not in SKIPS_BEYOND_DIAGONAL:
        batch = tuple(replace(shape, causal=False) for shape in batch)
    busy, compute_ns = occupancy(gpu.sms, kernel, *batch), 0.0
    for shape in batch:
        tflops = gpu.peak_fp16_tflops.value * _reached(gpu, kernel, shape).ratio * busy
        compute_ns += density * shape.flops / (1e3 * tflops)
    num_bytes = sum(attention_bytes(kernel, shape, gpu.element_bytes) for shape in batch)
    memory_ns = num_bytes / gpu.memory_gbps.value
    return max(compute_ns, memory_ns) + LAUNCHES[kernel] * gpu.launch_ns


def attention_bytes(kernel: str, shape: AttentionShape, element_bytes: int) -> int:
    """Bytes that a kernel must move: Q and O a head, K and V a kv head, and the passes over unfused scores."""
    vectors = 2 * shape.num_heads * shape.L_q + 2 * shape.num_kv_heads * shape.L_k
    scores = SCORE_PASSES[kernel] * shape.num_heads * shape.L_q * shape.L_k
    return element_bytes * (vectors * shape.d_head + scores)


def occupancy(sms: int, kernel: str, *batch: AttentionShape) -> float:
    """Share of the SMs at work, on average over the waves of a call's thread blocks.

    Worked example: 12 heads of 128 rows are 12 blocks: 12/108 of an A100; 109 blocks take two waves, 109/216.
    """
    blocks = sum(_blocks(kernel, shape) for shape in batch)
    return blocks / (-(-blocks // sms) * sms)


def _blocks(kernel: str, shape: AttentionShape) -> int:
    columns = -(-shape.L_k // BLOCK_ROWS) if kernel == "unfused" else 1
    return shape.num_heads * -(-shape.L_q // BLOCK_ROWS) * columns


def _reached(gpu: Gpu, kernel: str, shape: AttentionShape) -> Reached:
    return efficiency(gpu, kernel, shape.L_k, shape.d_head, shape.causal)
