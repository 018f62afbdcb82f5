"""What a lower density buys in time and costs in attention mass, on one layer of SmolLM2."""

from dsasim import load_arch, load_trace, simulate


def main() -> None:
    trace = load_trace("smollm2-l512")
    print("density   cycles  speed-up    mass  oracle  output error")
    for density in ("0.2", "0.1", "0.05", "0.02"):
        arch = load_arch("dsa-decoupled", [f"mask_generator.density={density}"])
        result = simulate(arch, trace, layers=[13], heads=range(3))
        ours, oracle = result.quality.ours, result.quality.oracle
        print(
            f"{density:>7} {result.machine.cycles:8,} {result.baseline.speedup_vs_dense:8.2f}x"
            f" {ours.captured_mass_ratio:7.3f} {oracle.captured_mass_ratio:7.3f} {ours.output_rel_l2:13.3f}"
        )


if __name__ == "__main__":
    main()
