"""`ntm-ray best`, on the folder of a job that was carried out without Ray."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ntm_ray import NTM
from tests.cli.test_cli import ntm_ray
from tests.tuning.test_tuning_found_models import job_in, not_the_best

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray import TuningResult


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return job_in(tmp_path_factory.mktemp("runs"))


def test_best_says_which_trial_it_is_what_it_is_worth_and_where(result: TuningResult) -> None:
    by, trial = not_the_best(result)
    done = ntm_ray("best", str(result.folder), "--by", by)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = result.best_by(by)
    assert lines[0] == f"Best by {by}: trial {trial}, epoch {found.epoch}"
    assert lines[-1] == f"Model folder: {found.folder}"
    for name in ("validation:total_loss", "npmi", "topic_uniqueness", "live_topics"):
        assert any(line.split()[:1] == [name] for line in lines)
    for words in found.model().topics():
        assert " ".join(words) in done.stdout


def test_best_writes_the_model_where_it_is_told_to(result: TuningResult, tmp_path: Path) -> None:
    by, _ = not_the_best(result)
    done = ntm_ray("best", str(result.folder), "--by", by, "--output", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Written to mine"
    assert NTM.load(tmp_path / "mine").metrics == result.best_by(by).metrics
    # What is there now is a copy: writing there changes nothing in the job.
    (tmp_path / "mine" / "vocabulary.txt").write_text("")
    assert result.best_by(by).model().topics()


def test_best_as_json_is_one_object(result: TuningResult) -> None:
    said = json.loads(ntm_ray("best", str(result.folder), "--json").stdout)
    assert said["trial"] == result.best.trial
    assert said["by"] == {
        "name": "validation:total_loss",
        "direction": "minimize",
        "value": result.best.metrics["validation:total_loss"],
    }
    assert said["hyperparameters"] == result.best.hyperparameters
    assert said["metrics"]["npmi"] == result.best.metrics["npmi"]
    assert NTM.load(said["model"]).metrics == said["metrics"]


def test_the_model_of_a_trial_is_had_by_its_name(result: TuningResult) -> None:
    done = ntm_ray("best", str(result.folder), "--trial", "0002")
    assert done.stdout.startswith("Trial 0002, epoch ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere: not a job folder, job.yaml is missing"),
        (("nowhere", "--by", "nmpi"), "did you mean 'npmi'? there are validation:total_loss"),
        (("FOLDER", "--by", "coherence"), "topic_uniqueness, topic_diversity"),
        (("FOLDER", "--trial", "7"), "trial '7' has no model"),
        (("FOLDER", "--by", "npmi", "--trial", "0000"), "give one of them"),
        (("FOLDER", "--output", "FOLDER"), "exists and is no model folder"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: tuple[str, ...], message: str, result: TuningResult, tmp_path: Path
) -> None:
    said = [str(result.folder) if word == "FOLDER" else word for word in arguments]
    done = ntm_ray("best", *said, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())
