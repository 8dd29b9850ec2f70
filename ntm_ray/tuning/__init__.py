"""The search: job, search space, search algorithms, schedulers, trials, driver, results."""

from __future__ import annotations

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
