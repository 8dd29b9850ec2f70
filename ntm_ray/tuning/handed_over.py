"""Objects of Ray Tune's own classes in a job: handed over as they are, from Python only."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntm_ray.errors import JobError

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

    def check(self, field: str | None) -> None:
        """See that it can stand for a field of a job.

        Args:
            field: `search` or `scheduler`.

        Raises:
            JobError: If it is no object of Ray's, or one that only works inside of Ray Tune.
        """
        # Who has such an object has imported Ray; nobody else need wait for it.
        if field == "search" and _is_a("ray.tune.search", "Searcher", self.thing):
            from ntm_ray.tuning.search.ray_searcher import check_searcher

            check_searcher(self.thing)
        elif field == "scheduler" and _is_a("ray.tune.schedulers", "TrialScheduler", self.thing):
            from ntm_ray.tuning.schedulers.ray_scheduler import check_scheduler

            check_scheduler(self.thing)
        else:
            kind = "Searcher" if field == "search" else "TrialScheduler"
            raise JobError(
                f"{field}: a name, a name with options, or a {kind} of Ray Tune's is wanted, "
                f"not {self.thing!r:.80}"
            )

    def to_yaml_dict(self) -> dict[str, Any]:
        """Return what a job file says for it: what it was, which cannot be read back."""
        return {"object": self.path}


def put_back(field: str, said: object, thing: object) -> object:
    """Return what stands in a job for an object that its file only names.

    Args:
        field: `search` or `scheduler`.
        said: What the job file says there.
        thing: The object to go on with.

    Raises:
        JobError: If the job was not begun with an object of this class.
    """
    path = HandedOver(thing).path
    if not isinstance(said, Mapping) or "object" not in said:
        raise JobError(f"{field}: the job was begun with {said!r}, and goes on with that")
    if said["object"] != path:
        raise JobError(f"{field}: the job was begun with {said['object']}, not with {path}")
    return thing


def _is_a(module: str, name: str, thing: object) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(thing, getattr(loaded, name))


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
