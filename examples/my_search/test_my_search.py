"""The contract of ntm-ray, held against our search algorithm: `pytest test_my_search.py`."""

from __future__ import annotations

from my_search import MySearch

from ntm_ray.testing import SearchAlgorithmContract


class TestMySearch(SearchAlgorithmContract):
    factory = MySearch
