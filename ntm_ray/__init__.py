"""Tune neural topic models: a corpus, a search space, Ray Tune, and SageMaker NTM's rules.

Three lines are enough::

    corpus = Corpus.read("corpus.tsv")
    result = TuningJob(corpus=corpus, hyperparameters={"num_topics": 20}).run()
    result.best.model().topics()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntm_ray._version import __version__
from ntm_ray.errors import NtmRayError
from ntm_ray.lazy import lazily

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus
    from ntm_ray.model import NTM, Hyperparameters
    from ntm_ray.tuning import SearchSpace, TuningJob, TuningResult

__all__ = [
    "NTM",
    "Corpus",
    "Hyperparameters",
    "NtmRayError",
    "SearchSpace",
    "TuningJob",
    "TuningResult",
    "__version__",
]

_HOMES = {
    "Corpus": "ntm_ray.corpus",
    "Hyperparameters": "ntm_ray.model",
    "NTM": "ntm_ray.model",
    "SearchSpace": "ntm_ray.tuning",
    "TuningJob": "ntm_ray.tuning",
    "TuningResult": "ntm_ray.tuning",
}

# On first use, so that `ntm-ray --help` need not wait for torch.
__getattr__ = lazily(__name__, _HOMES)
