"""Every search algorithm and scheduler that ships keeps to the contract that strangers' do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.testing import SchedulerContract, SearchAlgorithmContract
from ntm_ray.tuning import SCHEDULERS, SEARCH_ALGORITHMS
from ntm_ray.tuning.schedulers import create_scheduler
from ntm_ray.tuning.search import create_search_algorithm

if TYPE_CHECKING:
    from ntm_ray.tuning.schedulers import Scheduler
    from ntm_ray.tuning.search import SearchAlgorithm
    from ntm_ray.tuning.space import SearchSpace


def usable(name: str, trouble: str | None) -> Any:
    return pytest.param(name, marks=pytest.mark.skipif(bool(trouble), reason=str(trouble)))


@pytest.mark.parametrize(
    "name", [usable(name, named.trouble) for name, named in SEARCH_ALGORITHMS.items()]
)
class TestShippedSearchAlgorithms(SearchAlgorithmContract):
    @pytest.fixture(autouse=True)
    def _named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def factory(space: SearchSpace, seed: int) -> SearchAlgorithm:
            return create_search_algorithm(name, space, seed)

        monkeypatch.setattr(type(self), "factory", factory, raising=False)


@pytest.mark.parametrize(
    "name", [usable(name, named.trouble) for name, named in SCHEDULERS.items()]
)
class TestShippedSchedulers(SchedulerContract):
    @pytest.fixture(autouse=True)
    def _named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def factory(max_epochs: int, space: SearchSpace, seed: int) -> Scheduler:
            return create_scheduler(name, max_epochs, space, seed)

        monkeypatch.setattr(type(self), "factory", factory, raising=False)
