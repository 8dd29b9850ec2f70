"""What the doctor reads of a model folder, and of the job folder that it lies in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ntm_ray.errors import ModelFolderError
from ntm_ray.model import NTM, Hyperparameters, Training, diagnose, not_judged
from ntm_ray.model.examination import corpus_figures
from ntm_ray.tuning.diagnosis import evidence_at
from ntm_ray.tuning.storage import Place
from tests.model.sick_corpora import COHERENT, made

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.corpus import Corpus

RUNG, EPOCHS = 3, 24


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return made(1000)


@pytest.fixture(scope="module")
def job(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job folder whose model was saved at a rung, and whose trial went on after that."""
    folder = tmp_path_factory.mktemp("job")
    hyperparameters = Hyperparameters.parse(
        {"feature_dim": corpus.feature_dim, "num_topics": 8, "epochs": EPOCHS, **COHERENT}
        | {"num_patience_epochs": EPOCHS + 1}
    )
    training = Training(hyperparameters, corpus, seed=0)
    rows: list[dict[str, Any]] = []
    while not training.finished:
        record = training.train_epoch()
        rows.append({"trial": "0001", **record.metrics()})
        if record.epoch == RUNG:
            NTM.from_training(training).save(folder / "best")
    others = [row | {"trial": "0000", "validation:total_loss": 9.0} for row in rows]
    pq.write_table(pa.Table.from_pylist(others + rows), folder / "epochs.parquet")
    (folder / "job.yaml").write_text("corpus: made\n")
    return folder


def test_a_model_that_was_saved_at_a_rung_says_nothing_of_what_came_later(
    job: Path, tmp_path: Path
) -> None:
    handed_on = tmp_path / "model"
    shutil.copytree(job / "best", handed_on)
    evidence = evidence_at(Place.at(handed_on))
    assert evidence.recent_gain is None
    assert not_judged(evidence) == ["still_improving", "overfitted"]


def test_in_a_job_folder_the_whole_curve_of_its_trial_is_known(job: Path) -> None:
    evidence = evidence_at(Place.at(job))
    assert evidence.epoch == RUNG
    assert evidence.epochs_trained == EPOCHS
    assert not_judged(evidence) == []
    assert evidence_at(Place.at(job / "best")) == evidence
    shutil.copytree(job / "best", job / "models" / "0001" / str(RUNG))
    assert evidence_at(Place.at(job / "models" / "0001" / str(RUNG))) == evidence


def test_a_loss_that_rose_after_the_model_was_saved_is_seen_in_the_job_folder(
    job: Path, tmp_path: Path
) -> None:
    shutil.copytree(job, tmp_path / "job")
    rows = pq.read_table(job / "epochs.parquet").to_pylist()
    for row in rows:
        if row["epoch"] > RUNG:
            row["validation:total_loss"] = 8.0 + row["epoch"] / 10
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "job" / "epochs.parquet")
    (finding,) = diagnose(evidence_at(Place.at(tmp_path / "job")))
    assert finding.name == "overfitted"
    assert f"after epoch {RUNG}:" in finding.wrong
    assert f"in the {EPOCHS - RUNG} epochs since" in finding.wrong


def test_a_job_that_has_no_curve_of_its_model_is_judged_by_the_model(
    job: Path, tmp_path: Path
) -> None:
    shutil.copytree(job / "best", tmp_path / "best")
    shutil.copy(job / "job.yaml", tmp_path)
    without = evidence_at(Place.at(tmp_path))
    (tmp_path / "epochs.parquet").write_bytes(b"no table")
    assert evidence_at(Place.at(tmp_path)) == without
    table = pq.read_table(job / "epochs.parquet")
    pq.write_table(table.slice(0, EPOCHS), tmp_path / "epochs.parquet")
    assert evidence_at(Place.at(tmp_path)) == without
    assert without.epochs_trained is None


def test_an_older_model_is_judged_by_what_it_has(job: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(job / "best", folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    old = {name: metrics[name] for name in ("epoch", "kl_per_document", "topic_uniqueness")}
    (folder / "metrics.json").write_text(json.dumps(old))
    evidence = evidence_at(Place.at(folder))
    assert evidence.kl_per_document == metrics["kl_per_document"]
    assert "collapsed" not in not_judged(evidence)
    assert "stop_words" in not_judged(evidence)
    assert diagnose(evidence) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.json", None, "is no model folder: metrics.json missing"),
        ("metrics.json", b"{", "metrics.json cannot be read"),
        ("metrics.json", b"[]", "metrics.json must hold one JSON object"),
        ("metrics.json", b"\xff", "metrics.json cannot be read"),
        ("hyperparameters.json", b'{"epochs": 3}', "num_topics or epochs missing"),
    ],
)
def test_what_is_no_model_folder_is_said_in_one_line(
    job: Path, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(job / "best", folder)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(ModelFolderError, match=said) as raised:
        evidence_at(Place.at(folder))
    assert str(raised.value).startswith(str(folder))
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_not_there_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match=r"metrics\.json, hyperparameters\.json missing"):
        evidence_at(Place.at(tmp_path / "nowhere"))


def test_the_doctor_needs_neither_torch_nor_ray_nor_the_parameters(
    job: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(job / "best", folder)
    (folder / "model.safetensors").unlink()
    code = (
        "import sys; from ntm_ray.cli import app;"
        f"app(['doctor', {str(folder)!r}], standalone_mode=False);"
        "print([name for name in ('torch', 'ray', 'numba', 'plotly') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_figures_of_a_corpus_are_worked_out_once(corpus: Corpus) -> None:
    assert corpus_figures(corpus) is corpus_figures(corpus)
