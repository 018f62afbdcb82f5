"""The shipped designs side by side on one layer of MiniLM: time, energy, area, and what the masks catch."""

from dsasim import load_arch, load_trace, simulate


def main() -> None:
    trace = load_trace("minilm-l128")
    print(f"{'design':14} {'time µs':>8} {'energy µJ':>10} {'area mm²':>9} {'mass':>6}")
    for name in ("dsa-decoupled", "dsa-coupled", "dsa-edge", "dense-16x16"):
        result = simulate(load_arch(name), trace, layers=[2])
        time_us = result.machine.cycles / float(result.arch.clock_ghz) / 1e3
        energy_uj = result.cost.energy_pj["total"] / 1e6
        mass = result.quality.ours.captured_mass_ratio
        print(f"{name:14} {time_us:8.1f} {energy_uj:10.1f} {result.cost.area_mm2['total']:9.2f} {mass:6.3f}")


if __name__ == "__main__":
    main()
