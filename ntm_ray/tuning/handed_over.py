"""Objects of Ray Tune's own classes in a job: handed over as they are, from Python only."""

from __future__ import annotations

import random
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, eq=False)
class HandedOver:
    """A Ray Tune object that stands in a job for a search algorithm or a scheduler.

    It serves one job: it remembers that job's trials. A job file cannot hold it, and says so.
    """

    thing: Any

    def __str__(self) -> str:
        return f"Ray's {type(self.thing).__name__}"

    @property
    def path(self) -> str:
        """Its class, as an import would name it."""
        return f"{type(self.thing).__module__}.{type(self.thing).__qualname__}"

    def to_yaml_dict(self) -> dict[str, Any]:
        """Return what a job file says for it: what it was, which cannot be read back."""
        return {"object": self.path}


def is_searcher(thing: object) -> bool:
    """Whether it is a `ray.tune.search.Searcher`; does not import Ray to find out."""
    search = sys.modules.get("ray.tune.search")
    return search is not None and isinstance(thing, search.Searcher)


def is_trial_scheduler(thing: object) -> bool:
    """Whether it is a `ray.tune.schedulers.TrialScheduler`; does not import Ray to find out."""
    schedulers = sys.modules.get("ray.tune.schedulers")
    return schedulers is not None and isinstance(thing, schedulers.TrialScheduler)


@contextmanager
def random_state(*seed: int) -> Iterator[None]:
    """Lend Python's and NumPy's global random states, seeded, and put back what they were.

    Some of Ray's classes draw from them, and a job has to be repeatable.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is what they use
    word = int(np.random.SeedSequence(seed).generate_state(1)[0])
    random.seed(word)
    np.random.seed(word)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
