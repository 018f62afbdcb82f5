"""Simulate a design on a shipped trace from Python, and ask who keeps the PE array waiting."""

from dsasim import load_arch, load_trace, simulate


def main() -> None:
    arch = load_arch("dsa-decoupled", ["scheduler.token_parallelism=4", "mask_generator.density=0.05"])
    result = simulate(arch, load_trace("smollm2-l512"), layers=[13], heads=[0, 1, 2])
    array = result.machine.units["pe_array"]
    reason, cycles = max(array.stall_cycles.items(), key=lambda stall: stall[1])
    print(f"{result.machine.cycles:,} cycles, {result.baseline.speedup_vs_dense:.2f}x faster than dense")
    print(f"{result.quality.ours.captured_mass_ratio:.1%} of the softmax mass is kept")
    print(f"lanes wait most for: {reason}, {cycles / array.instances / result.machine.cycles:.1%} of the time")


if __name__ == "__main__":
    main()
