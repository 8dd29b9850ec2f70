"""The search: job, search space, search algorithms, schedulers, trials, driver, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray.lazy import lazily

if TYPE_CHECKING:
    from ntm_ray.tuning.found_models import BestTrial, FoundModel, FoundModels
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.progress import Observer, Progress
    from ntm_ray.tuning.result import TuningResult
    from ntm_ray.tuning.schedulers import SCHEDULERS
    from ntm_ray.tuning.search import SEARCH_ALGORITHMS
    from ntm_ray.tuning.space import SearchSpace, shipped_spaces
    from ntm_ray.tuning.trial_record import OBJECTIVE, Status

__all__ = [
    "OBJECTIVE",
    "SCHEDULERS",
    "SEARCH_ALGORITHMS",
    "BestTrial",
    "FoundModel",
    "FoundModels",
    "Observer",
    "Progress",
    "SearchSpace",
    "Status",
    "TuningJob",
    "TuningResult",
    "shipped_spaces",
]

_HOMES = {
    "OBJECTIVE": "ntm_ray.tuning.trial_record",
    "SCHEDULERS": "ntm_ray.tuning.schedulers",
    "SEARCH_ALGORITHMS": "ntm_ray.tuning.search",
    "BestTrial": "ntm_ray.tuning.found_models",
    "FoundModel": "ntm_ray.tuning.found_models",
    "FoundModels": "ntm_ray.tuning.found_models",
    "Observer": "ntm_ray.tuning.progress",
    "Progress": "ntm_ray.tuning.progress",
    "SearchSpace": "ntm_ray.tuning.space",
    "Status": "ntm_ray.tuning.trial_record",
    "TuningJob": "ntm_ray.tuning.job",
    "TuningResult": "ntm_ray.tuning.result",
    "shipped_spaces": "ntm_ray.tuning.space",
}

# On first use, so that `ntm-ray list` need not wait for what a job needs.
__getattr__ = lazily(__name__, _HOMES)
