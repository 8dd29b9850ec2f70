"""Models of a job that was carried out, by whatever one likes; from its folder alone."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from ntm_ray import NTM, TuningJob
from ntm_ray.corpus import bars
from ntm_ray.errors import JobError, StorageError
from ntm_ray.model.measures import MEASURES
from ntm_ray.model.objectives import CHOICES
from ntm_ray.tuning import FoundModel, FoundModels
from ntm_ray.tuning.assignment import TrialSetting
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.progress import Nobody
from ntm_ray.tuning.result import TuningResult
from ntm_ray.tuning.session import Session
from ntm_ray.tuning.storage import Place
from ntm_ray.tuning.trial import RunningTrial

if TYPE_CHECKING:
    from pathlib import Path

    from tests.loopback_s3 import LoopbackS3

CORPUS = bars(documents=80)
TRIALS = 6


def job_in(storage: Path, **fields: Any) -> TuningResult:
    """A job carried out without Ray: all that a folder has, and its result."""
    job = TuningJob(
        corpus=CORPUS,
        hyperparameters={"num_topics": 3, "epochs": 3},
        search="random",
        scheduler="none",
        trials=TRIALS,
        storage=storage,
        name="job",
        **fields,
    )
    folder = JobFolder.create(job, CORPUS)
    journal = folder.open_journal()
    engine = Engine(job, journal.append)
    session = Session(engine, folder, CORPUS.feature_dim, Nobody(), lambda: None)
    setting = TrialSetting(
        frozenset(), 1, "cpu", "float32", 30, folder.models, folder.states, job.objective
    )
    while assignment := session.next_assignment():
        session.report(RunningTrial(assignment, CORPUS, setting, "cpu").train())
    session.write_tables()
    journal.close()
    return TuningResult.of(
        engine,
        NTM.load(folder.best),
        place=folder.place,
        unigram=3.0,
        wall_seconds=1.0,
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return job_in(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copied(result: TuningResult, tmp_path: Path) -> Path:
    """The job folder, to do harm to."""
    shutil.copytree(result.folder, tmp_path / "job")
    return tmp_path / "job"


@pytest.mark.parametrize("by", CHOICES)
def test_the_best_by_anything_is_the_one_whose_own_metrics_are_the_best(
    by: str, result: TuningResult
) -> None:
    objective = CHOICES[by]
    every = [
        NTM.load(result.folder / "models" / model.trial / str(model.epoch)).metrics
        for model in result.models.models
    ]
    assert len(every) == TRIALS
    best = min(objective.score(objective.value(metrics, 3)) for metrics in every)
    for found in (result.best_by(by), FoundModels.read(result.folder).best_by(by)):
        model = found.model()
        assert objective.score(objective.value(model.metrics, 3)) == best
        assert found.metrics == model.metrics
        assert found.hyperparameters == model.hyperparameters.to_json_dict()
        assert found.epoch == model.metrics["epoch"]


def test_a_folder_says_the_same_as_the_result(result: TuningResult) -> None:
    read = FoundModels.read(result.folder)
    assert read == result.models
    assert read.front == result.front
    assert read.best == result.best.trial
    assert read.best_by().trial == result.best.trial
    assert len({model.trial for model in read.front}) == len(read.front) >= 1


def test_the_front_is_in_the_json_of_the_result_and_comes_back(result: TuningResult) -> None:
    said = json.loads(json.dumps(result.to_json_dict()))
    assert [one["trial"] for one in said["front"]] == [model.trial for model in result.front]
    for one, model in zip(said["front"], result.front, strict=True):
        assert one["kept"] is True
        assert one["validation:total_loss"] == model.figures["validation:total_loss"]
        assert FoundModel.from_json_dict(one).trial == model.trial
    assert said["objective"] == {
        "name": "validation:total_loss",
        "direction": "minimize",
        "value": result.best.metrics["validation:total_loss"],
        "defaults": result.baselines["defaults"],
    }
    assert said["best"]["npmi"] == result.best.metrics["npmi"]


def test_a_job_with_another_objective_has_its_best_by_that(tmp_path: Path) -> None:
    result = job_in(tmp_path, objective="npmi")
    read = FoundModels.read(result.folder)
    assert read.objective.name == "npmi"
    best = read.best_by()
    assert best.trial == result.best.trial == read.best_by("npmi").trial
    values = [model.value(read.objective) for model in read.models]
    assert result.values["best"] == max(values)
    assert result.to_json_dict()["objective"]["value"] == max(values)


def not_the_best(result: TuningResult) -> tuple[str, str]:
    """A way to choose, and the trial that it chooses, whose model is not in best/."""
    for by in CHOICES:
        if (trial := result.best_by(by).trial) != result.best.trial:
            return by, trial
    pytest.fail("one trial is the best by all")


def test_a_model_that_was_dropped_is_said_to_be_and_the_next_best_is_named(
    copied: Path, result: TuningResult
) -> None:
    by, trial = not_the_best(result)
    shutil.rmtree(copied / "models" / trial)
    with pytest.raises(JobError) as error:
        FoundModels.read(copied).best_by(by)
    message = str(error.value)
    assert f"the model of trial {trial} ({by} " in message
    assert "was dropped, to keep within the job's keep_models_mb, 1024;" in message
    assert re.search(r"of those that are here (\d{4}) is the best \(.*\): --trial \1$", message)
    assert "\n" not in message


def test_a_better_model_that_a_trial_has_saved_since_the_table_was_written_is_handed_over(
    copied: Path, result: TuningResult
) -> None:
    by, trial = not_the_best(result)
    (before,) = (copied / "models" / trial).iterdir()
    later = before.with_name(str(int(before.name) + 1))
    before.rename(later)
    (later.parent / ".0.being-written").mkdir()
    metrics = json.loads((later / "metrics.json").read_text()) | {"epoch": int(later.name)}
    (later / "metrics.json").write_text(json.dumps(metrics))
    found = FoundModels.read(copied).best_by(by)
    assert (found.trial, found.epoch) == (trial, int(later.name))
    assert found.place.path == later


def test_the_models_of_all_trials_are_handed_over_by_their_names(result: TuningResult) -> None:
    read = FoundModels.read(result.folder)
    for model in read.models:
        assert read.trial(model.trial).epoch == model.epoch
    with pytest.raises(JobError, match="trial '0099' has no model; kept are those of 0000, 0001"):
        read.trial("0099")


def test_with_no_room_for_models_the_best_one_is_there_still(tmp_path: Path) -> None:
    result = job_in(tmp_path, keep_models_mb=0)
    assert [model.is_kept for model in result.models.models].count(True) == 1
    assert FoundModels.read(result.folder).best_by().model().topics()
    read = FoundModels.read(result.folder)
    ranked = sorted(read.models, key=lambda model: -(model.figures["npmi"] or 0.0))
    other = next(model.trial for model in ranked if model.trial != result.best.trial)
    with pytest.raises(JobError, match="was dropped, to keep within the job's keep_models_mb, 0;"):
        read.trial(other)


def test_of_a_job_of_an_older_version_the_best_model_is_named(copied: Path) -> None:
    table = pq.read_table(copied / "trials.parquet")
    older = [name for name in table.column_names if name not in {"model_epoch", *MEASURES}]
    pq.write_table(table.select(older), copied / "trials.parquet")
    with pytest.raises(JobError, match="of no model but that in best/ is anything known"):
        FoundModels.read(copied)


def test_a_folder_that_is_no_job_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"not a job folder, job\.yaml is missing"):
        FoundModels.read(tmp_path)
    with pytest.raises(JobError, match="not a job folder"):
        FoundModels.read(tmp_path / "nowhere")
    (tmp_path / "job.yaml").write_text("corpus: docstrings\n")
    with pytest.raises(JobError, match="no trial has come to a model yet"):
        FoundModels.read(tmp_path)
    (tmp_path / "trials.parquet").write_bytes(b"no table")
    with pytest.raises(JobError, match="not readable") as error:
        FoundModels.read(tmp_path)
    assert "\n" not in str(error.value)


def test_a_job_that_was_fetched_has_the_best_model_and_knows_of_the_others(
    copied: Path, result: TuningResult
) -> None:
    for left_behind in ("models", "journal.jsonl", "ray"):
        path = copied / left_behind
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    read = FoundModels.read(copied)
    assert read.best_by().model().topics() == result.best.model().topics()
    by, trial = not_the_best(result)
    with pytest.raises(JobError, match=f"trial {trial} .* of a job that was fetched only the"):
        read.best_by(by)


def test_a_model_in_an_object_store_is_handed_over(
    copied: Path, result: TuningResult, s3: LoopbackS3
) -> None:
    home = Place.at(s3.uri("runs/job"))
    for name in ("job.yaml", "trials.parquet"):
        home.put_file(copied / name)
    for file in (copied / "best").iterdir():
        (home / "best").put_file(file)
    for model in result.models.models:
        epoch = str(model.epoch)
        (home / "models" / model.trial / epoch).put_folder(copied / "models" / model.trial / epoch)
    read = FoundModels.read(s3.uri("runs/job"))
    by, trial = not_the_best(result)
    found = read.best_by(by)
    assert found.trial == trial
    assert found.model().topics() == result.best_by(by).model().topics()
    with pytest.raises(StorageError, match="lies in an object store"):
        _ = found.folder
