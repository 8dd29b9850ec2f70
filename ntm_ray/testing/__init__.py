"""Tests that every search algorithm and every scheduler must pass, for pytest.

A package that brings one runs them with a few lines; docs/extending.md shows the rest::

    from my_search import MySearch
    from ntm_ray.testing import SearchAlgorithmContract

    class TestMySearch(SearchAlgorithmContract):
        factory = MySearch
"""

from __future__ import annotations

import pytest

# So that an assertion that fails in there shows its values, as it would in a test file.
pytest.register_assert_rewrite("ntm_ray.testing.search", "ntm_ray.testing.schedulers")

from ntm_ray.testing.schedulers import SchedulerContract  # noqa: E402 - after the line above
from ntm_ray.testing.search import SearchAlgorithmContract  # noqa: E402

__all__ = ["SchedulerContract", "SearchAlgorithmContract"]
