"""`--num-topics 5:60`: the number of topics is searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ntm_ray.cli.tune import make_job
from ntm_ray.errors import SearchSpaceError
from ntm_ray.tuning import SearchSpace, TuningJob
from ntm_ray.tuning.space import Integer

if TYPE_CHECKING:
    from pathlib import Path


def searched(job: TuningJob) -> tuple[int, int] | None:
    for parameter in job.free_space.parameters:
        if parameter.name == "num_topics":
            assert isinstance(parameter, Integer)
            assert parameter.scaling == "logarithmic"
            return parameter.min, parameter.max
    return None


def test_a_range_is_searched_by_the_space_for_this_question_without_a_scheduler() -> None:
    job = make_job("synthetic", {}, {}, {"num_topics": "5:60"})
    assert searched(job) == (5, 60)
    assert job.search_space.name == "how_many"
    assert job.scheduler == "none"
    assert (
        make_job("synthetic", {"scheduler": "asha"}, {}, {"num_topics": "5:60"}).scheduler
        == "asha"
    )


def test_another_space_searches_it_beside_its_own_parameters() -> None:
    job = make_job("synthetic", {"search_space": "focused"}, {}, {"num_topics": "5:60"})
    names = {parameter.name for parameter in job.free_space.parameters}
    assert searched(job) == (5, 60)
    assert names == {p.name for p in SearchSpace.read("focused").parameters} | {"num_topics"}
    assert job.scheduler == "asha"


def test_a_number_is_fixed_as_before_even_in_the_space_for_this_question() -> None:
    assert make_job("synthetic", {}, {}, {"num_topics": "12"}).hyperparameters["num_topics"] == 12
    job = make_job("synthetic", {"search_space": "how_many"}, {}, {"num_topics": "12"})
    assert searched(job) is None
    assert job.hyperparameters["num_topics"] == 12


def test_a_range_replaces_the_number_of_a_job_file_and_keeps_its_space(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TuningJob(corpus="synthetic", search_space="sagemaker").to_yaml())
    job = make_job(str(file), {}, {}, {"num_topics": "5:60"})
    assert searched(job) == (5, 60)
    assert job.search_space.name == "sagemaker"
    assert "num_topics" not in job.hyperparameters


def test_a_job_file_keeps_what_its_space_says_of_the_scheduler(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TuningJob(corpus="synthetic", search_space="how_many").to_yaml())
    assert TuningJob.read(file).scheduler == "none"
    assert TuningJob.read(file).search_space.scheduler == "none"


def test_every_draw_of_a_range_lies_in_it_and_both_ends_are_drawn() -> None:
    space = SearchSpace.read("how_many").with_topics(3, 5)
    (topics,) = (p for p in space.parameters if p.name == "num_topics")
    drawn = {topics.from_unit(unit / 100) for unit in range(100)}
    assert drawn == {3, 4, 5}


@pytest.mark.parametrize(("least", "most"), [(9, 5), (5, 5), (0, 5)])
def test_a_range_that_is_none_is_refused(least: int, most: int) -> None:
    with pytest.raises(SearchSpaceError, match=f"num_topics: {least}:{most} is no range"):
        SearchSpace.read("how_many").with_topics(least, most)
