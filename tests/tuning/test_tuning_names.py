"""Names with options, and what a package may leave out or get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ntm_ray.errors import JobError
from ntm_ray.testing.spaces import EVERYTHING
from ntm_ray.tuning import SCHEDULERS, SEARCH_ALGORITHMS, TuningJob
from ntm_ray.tuning.names import Chosen, Registry
from ntm_ray.tuning.schedulers import create_scheduler
from ntm_ray.tuning.search import create_search_algorithm
from ntm_ray.tuning.summaries import summary_of


def complaint(**fields: Any) -> str:
    with pytest.raises(JobError) as caught:
        TuningJob(**fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_ships_is_registered_with_a_line_on_what_it_is() -> None:
    assert set(SEARCH_ALGORITHMS) >= {"random", "grid", "sobol", "tpe", "bayesian", "optuna"}
    assert set(SCHEDULERS) >= {"asha", "hyperband", "median", "pbt", "none"}
    for registry in (SEARCH_ALGORITHMS, SCHEDULERS):
        for named in registry.values():
            assert named.is_ours
            assert named.trouble is None
            assert 10 < len(named.summary) < 100


def test_what_ships_is_what_pyproject_declares() -> None:
    """As long as it has been installed since pyproject.toml was changed."""
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    for registry, group in [
        (SEARCH_ALGORITHMS, "ntm_ray.search_algorithms"),
        (SCHEDULERS, "ntm_ray.schedulers"),
    ]:
        declared = project["project"]["entry-points"][group]
        ours = {name: named.entry.value for name, named in registry.items() if named.is_ours}
        assert ours == declared


def test_options_stand_beside_the_name_and_come_back_from_the_file(tmp_path: Path) -> None:
    job = TuningJob(
        search={"name": "bayesian", "startup_trials": 5},
        scheduler={"name": "median", "grace_epochs": 3},
    )
    assert job.search == Chosen("bayesian", {"startup_trials": 5})
    assert str(job.search) == "bayesian, startup_trials 5"
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    assert yaml.safe_load(file.read_text())["search"] == {"name": "bayesian", "startup_trials": 5}
    assert TuningJob.read(file) == job


def test_a_name_without_options_is_the_plain_name() -> None:
    assert TuningJob(search={"name": "random"}).search == "random"


def test_options_reach_what_they_are_meant_for() -> None:
    scheduler = create_scheduler(Chosen("pbt", {"interval": 4}), 10, EVERYTHING, 0)
    assert scheduler.rungs == (4, 8, 9)
    grid = create_search_algorithm(Chosen("grid", {"points": 2}), EVERYTHING, 0)
    sizes = {json.dumps(grid.propose(f"{n}")["mini_batch_size"]) for n in range(50)}
    assert sizes == {"1", "40"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"search": {"name": "grid", "point": 2}},
            "search algorithm 'grid' has no option 'point'; did you mean 'points'? it has points",
        ),
        ({"search": {"name": "random", "x": 2}}, "'random' has no option 'x'; it has none"),
        ({"search": {"name": "grid", "points": 1}}, "'grid': ValueError: points = 1: at least 2"),
        ({"search": {"points": 1}}, "search: a name is wanted, with options beside it"),
        ({"search": {"name": "gird", "points": 2}}, "did you mean 'grid'?"),
        ({"scheduler": {"name": "pbt", "interval": 0}}, "'pbt': ValueError: interval = 0"),
        ({"scheduler": ["asha"]}, "scheduler: a name, a name with options, or a TrialScheduler"),
    ],
)
def test_a_wrong_choice_is_refused_in_one_line_before_anything_runs(
    fields: dict[str, Any], message: str
) -> None:
    assert message in complaint(**fields)


def test_where_nothing_is_registered_it_says_what_to_do() -> None:
    nothing = Registry("search algorithm", "ntm_ray.no_such_group")
    assert list(nothing) == []
    with pytest.raises(JobError, match="install it again, pip install -e"):
        nothing.named("tpe")


@pytest.mark.parametrize(
    ("source", "summary"),
    [
        ('class Mine:\n    """First line.\n\n    More.\n    """\n', "First line"),
        ('def Mine():\n    """A function will do."""\n', "A function will do"),
        ("class Mine:\n    pass\n", None),
        ("from package.deeper import Yours as Mine\n", "Of another file"),
        ("from .deeper import Yours as Mine\n", "Of another file"),
        ("raise SystemExit\n", None),
    ],
)
def test_a_summary_is_read_without_running_anything(
    source: str, summary: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("raise SystemExit('was imported')\n")
    (tmp_path / "package" / "mine.py").write_text(source)
    (tmp_path / "package" / "deeper.py").write_text('class Yours:\n    """Of another file."""\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert summary_of("package.mine", "Mine") == summary


def test_no_such_module_is_said_for_a_part_of_a_package_too() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"ntm_ray\.tuning\.no_such_part"):
        summary_of("ntm_ray.tuning.no_such_part", "Mine")
