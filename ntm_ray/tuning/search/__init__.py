"""Search algorithms: each proposes configurations and learns from results."""

from __future__ import annotations

from ntm_ray.tuning.search.algorithm import (
    SEARCH_ALGORITHMS,
    Exhausted,
    Observation,
    SearchAlgorithm,
    create_search_algorithm,
)

__all__ = [
    "SEARCH_ALGORITHMS",
    "Exhausted",
    "Observation",
    "SearchAlgorithm",
    "create_search_algorithm",
]
