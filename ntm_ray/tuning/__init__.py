"""The search: job, search space, search algorithms, schedulers, trials, driver, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.progress import Observer, Progress
    from ntm_ray.tuning.result import BestTrial, TuningResult
    from ntm_ray.tuning.schedulers import SCHEDULERS
    from ntm_ray.tuning.search import SEARCH_ALGORITHMS
    from ntm_ray.tuning.space import SearchSpace, shipped_spaces
    from ntm_ray.tuning.trial_record import OBJECTIVE, Status

__all__ = [
    "OBJECTIVE",
    "SCHEDULERS",
    "SEARCH_ALGORITHMS",
    "BestTrial",
    "Observer",
    "Progress",
    "SearchSpace",
    "Status",
    "TuningJob",
    "TuningResult",
    "shipped_spaces",
]

_HOMES = {
    "BestTrial": "ntm_ray.tuning.result",
    "OBJECTIVE": "ntm_ray.tuning.trial_record",
    "Observer": "ntm_ray.tuning.progress",
    "Progress": "ntm_ray.tuning.progress",
    "SCHEDULERS": "ntm_ray.tuning.schedulers",
    "SEARCH_ALGORITHMS": "ntm_ray.tuning.search",
    "SearchSpace": "ntm_ray.tuning.space",
    "Status": "ntm_ray.tuning.trial_record",
    "TuningJob": "ntm_ray.tuning.job",
    "TuningResult": "ntm_ray.tuning.result",
    "shipped_spaces": "ntm_ray.tuning.space",
}


def __getattr__(name: str) -> Any:
    # On first use: what only names settings, or hands them to other processes, need not wait for
    # torch and pyarrow.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
