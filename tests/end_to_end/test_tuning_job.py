"""A whole tuning job on a real, private Ray: what it leaves behind.

Ray takes seconds to start, so one job serves all tests.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
import torch

from ntm_ray.corpus import Corpus, bars, unigram_loss
from ntm_ray.errors import JobError
from ntm_ray.tuning import OBJECTIVE, Progress, Status, TuningJob, TuningResult
from ntm_ray.tuning.schedulers.asha import ASHA
from tests.end_to_end.jobs import SPACE, curve_alone, exactly

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.tuning.storage import Place


class Watching:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.last: Progress | None = None

    def started(self, job: TuningJob, corpus: Corpus, folder: Place) -> None:
        assert (folder.path / "job.yaml").is_file()
        self.heard.append(f"started {job.trials} {corpus.name}")

    def update(self, progress: Progress) -> None:
        self.last = progress

    def stopping(self) -> None:
        self.heard.append("stopping")

    def ended(self) -> None:
        self.heard.append("ended")


# One job, looked at from all sides


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return bars(documents=300, seed=1)


@pytest.fixture(scope="module")
def job(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TuningJob:
    return TuningJob(
        corpus=corpus,
        hyperparameters={"num_topics": 10, "epochs": 10},
        search_space=SPACE,
        search="tpe",
        trials=12,
        slots=2,
        seed=0,
        storage=tmp_path_factory.mktemp("runs"),
        name="job",
        device="cpu",
    )


@pytest.fixture(scope="module")
def watching() -> Watching:
    return Watching()


@pytest.fixture(scope="module")
def result(job: TuningJob, watching: Watching) -> TuningResult:
    return job.run(watching)


def test_the_job_folder_holds_what_it_is_documented_to_hold(result: TuningResult) -> None:
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "best",
        "corpus.json",
        "corpus.npz",
        "epochs.parquet",
        "job.yaml",
        "journal.jsonl",
        "models",
        "ray",
        "result.json",
        "trials.parquet",
    ]
    assert sorted(path.name for path in (result.folder / "best").iterdir()) == [
        "hyperparameters.json",
        "metrics.json",
        "model.safetensors",
        "vocabulary.txt",
    ]
    has_model = [row["trial"] for row in result.trials().to_pylist() if row["model_epoch"]]
    assert sorted(path.name for path in (result.folder / "models").iterdir()) == has_model


def test_nothing_outside_rays_own_folder_is_pickled(result: TuningResult) -> None:
    for path in result.folder.rglob("*"):
        if path.is_file() and path.relative_to(result.folder).parts[0] != "ray":
            assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth"}
            assert not path.read_bytes().startswith(b"\x80"), path
    Corpus.load(result.folder / "corpus.npz")  # which refuses pickled arrays


def test_the_job_file_is_the_job(result: TuningResult, job: TuningJob, corpus: Corpus) -> None:
    read = TuningJob.read(result.folder / "job.yaml")
    assert isinstance(read.corpus, str)
    assert Corpus.read(read.corpus).fingerprint == corpus.fingerprint
    assert read.model_copy(update={"corpus": corpus}) == job


def test_the_tables_are_those_of_the_result(result: TuningResult) -> None:
    assert pq.read_table(result.folder / "trials.parquet").equals(result.trials())
    assert pq.read_table(result.folder / "epochs.parquet").equals(result.epochs())


def test_the_tables_and_the_json_agree_with_each_other(
    result: TuningResult, job: TuningJob
) -> None:
    trials, epochs = result.trials().to_pylist(), result.epochs().to_pylist()
    assert [row["trial"] for row in trials] == [f"{n:04d}" for n in range(job.trials)]
    for trial in trials:
        curve = [row for row in epochs if row["trial"] == trial["trial"]]
        losses = [row[OBJECTIVE] for row in curve]
        assert [row["epoch"] for row in curve] == list(range(1, trial["epochs"] + 1))
        finite = [loss for loss in losses if loss is not None]
        assert trial["best_validation:total_loss"] == min(finite, default=None)
        assert trial["last_validation:total_loss"] == losses[-1]
        assert trial["seconds"] == pytest.approx(sum(row["seconds"] for row in curve))
    json_result = json.loads((result.folder / "result.json").read_text())
    assert json_result == result.to_json_dict()
    assert json_result["epochs_spent"] == len(epochs)
    for status, number in json_result["trials"].items():
        assert number == sum(trial["status"] == status for trial in trials)
    assert sum(json_result["trials"].values()) == job.trials
    assert not json_result["interrupted"]


def test_the_best_model_is_that_of_the_best_row(result: TuningResult, corpus: Corpus) -> None:
    sound = [r for r in result.trials().to_pylist() if r["best_validation:total_loss"] is not None]
    row = min(sound, key=lambda r: r["best_validation:total_loss"])
    best = result.best
    assert best.trial == row["trial"]
    assert best.metrics[OBJECTIVE] == row["best_validation:total_loss"]
    for name in ("optimizer", "learning_rate", "mini_batch_size", "num_topics"):
        assert best.hyperparameters[name] == row[name]
    (epoch,) = [
        e
        for e in result.epochs().to_pylist()
        if e["trial"] == best.trial and e["epoch"] == best.epoch
    ]
    saved = json.loads((result.folder / "best" / "metrics.json").read_text())
    for name in (OBJECTIVE, "validation:recons_loss", "validation:kld", "train:total_loss"):
        assert saved[name] == epoch[name]
    model = best.model()
    assert model.evaluate(corpus.validation).total_loss == pytest.approx(
        epoch[OBJECTIVE], rel=1e-6
    )


def test_the_yardsticks_are_the_unigram_model_and_the_defaults_trained_alone(
    result: TuningResult, job: TuningJob, corpus: Corpus
) -> None:
    defaults = curve_alone(job, corpus, {}, job.seed)
    assert result.baselines == {
        "unigram": unigram_loss(corpus.train, corpus.validation),
        "defaults": min(row[OBJECTIVE] for row in defaults),
    }


def test_trials_are_stopped_early_at_rungs_only_and_go_no_further_than_the_budget(
    result: TuningResult, job: TuningJob
) -> None:
    trials = result.trials().to_pylist()
    stopped = [row for row in trials if row["status"] == "stopped_early"]
    assert stopped, "this job is here to see some stopped early"
    assert {row["epochs"] for row in stopped} <= set(
        ASHA(job.epochs, job.free_space, job.seed).rungs
    )
    assert max(row["epochs"] for row in trials) == job.epochs


def test_a_trial_that_diverges_ends_as_diverged_and_the_job_goes_on(
    result: TuningResult, job: TuningJob
) -> None:
    trials = result.trials().to_pylist()
    diverged = [row for row in trials if row["status"] == "diverged"]
    assert diverged, "this job is here to see some diverge"
    assert {row["optimizer"] for row in diverged} == {"sgd"}
    assert result.outcomes[Status.FAILED] == 0
    assert sum(result.outcomes.values()) == job.trials
    assert math.isfinite(result.best.metrics[OBJECTIVE])


def test_each_curve_is_that_of_its_configuration_and_seed_trained_alone(
    result: TuningResult, job: TuningJob, corpus: Corpus
) -> None:
    """Though trials shared actors, one after the other, and the machine with each other."""
    epochs = result.epochs().to_pylist()
    for row in result.trials().to_pylist():
        configuration = {p.name: row[p.name] for p in SPACE.parameters}
        assert SPACE.contains(configuration)
        alone = curve_alone(job, corpus, configuration, row["seed"])
        curve = [epoch for epoch in epochs if epoch["trial"] == row["trial"]]
        assert exactly(curve) == exactly(alone[: len(curve)]), row


def test_the_observer_hears_of_beginning_and_end_and_ends_with_the_whole_picture(
    result: TuningResult, job: TuningJob, watching: Watching
) -> None:
    assert watching.heard == [f"started {job.trials} synthetic", "ended"]
    assert watching.last is not None
    assert (watching.last.ended, watching.last.running) == (job.trials, 0)
    assert watching.last.epochs_spent == result.epochs_spent
    assert watching.last.best_loss == result.best.metrics[OBJECTIVE]


def test_resuming_a_finished_job_gives_its_result_at_once(result: TuningResult) -> None:
    before = {path: path.read_bytes() for path in result.folder.glob("[!r]*") if path.is_file()}
    watching = Watching()
    again = TuningJob.resume(result.folder, watching)
    assert again.to_json_dict() == result.to_json_dict()
    assert watching.heard == []
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_precision_of_gpus_is_refused_where_ray_sees_none(tmp_path: Path) -> None:
    job = TuningJob(corpus="synthetic", precision="tf32", slots=1, storage=tmp_path)
    with pytest.raises(JobError, match=r"^precision = 'tf32': Ray sees no GPU here; use float32$"):
        job.run()


def test_beginning_a_job_in_the_folder_of_another_is_refused(
    result: TuningResult, job: TuningJob
) -> None:
    with pytest.raises(JobError, match="holds a job already"):
        job.run()
    assert json.loads((result.folder / "result.json").read_text()) == result.to_json_dict()
