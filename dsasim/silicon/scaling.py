"""Carrying energy, area and leakage from one technology node to another (tables/node_scaling.yaml)."""

from dataclasses import dataclass
from functools import cache

from dsasim.silicon.sourced import provenance, table


@dataclass(frozen=True)
class NodeScaling:
    """Factors that multiply a number known at one node to give it at another, and where they come from."""

    energy_ratio: float
    area_ratio: float
    leakage_ratio: float
    sources: tuple[str, ...]


@cache
def node_scaling(from_nm: int, to_nm: int) -> NodeScaling:
    """Factors between two nodes of the table: the quotient of their factors from 45 nm (Stillmaker & Baas 2017).

    Leakage follows area: leakage per mm2 is taken as constant over nodes, an assumption of ours. The same node has
    factors of exactly 1 and needs no source.
    """
    if from_nm == to_nm:
        return NodeScaling(1.0, 1.0, 1.0, ())
    scaling = table("node_scaling.yaml")
    old, new = scaling["nodes"][from_nm], scaling["nodes"][to_nm]
    area_ratio = new["area_ratio"] / old["area_ratio"]
    origins = dict.fromkeys(provenance(end["source"], end["trust"]) for end in (old, new))
    rule = scaling["leakage_rule"]
    return NodeScaling(
        energy_ratio=new["energy_ratio"] / old["energy_ratio"],
        area_ratio=area_ratio,
        leakage_ratio=area_ratio,
        sources=(
            f"{from_nm} to {to_nm} nm: {', '.join(origins)}",
            provenance(rule["source"], rule["trust"]),
        ),
    )
