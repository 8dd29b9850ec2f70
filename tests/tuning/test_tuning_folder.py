"""The job folder: what lies where, whole at any moment."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ntm_ray.corpus import Corpus, bars
from ntm_ray.errors import JobError
from ntm_ray.model import NTM
from ntm_ray.tuning import TuningJob
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.tables import epochs_table, trials_table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return bars(documents=60)


def create(corpus: Corpus, storage: Path, **fields: Any) -> JobFolder:
    job = TuningJob(**{"corpus": corpus, "name": "mine", "storage": storage} | fields)
    return JobFolder.create(job, corpus)


def test_a_new_folder_holds_the_job_and_what_the_corpus_is(corpus: Corpus, tmp_path: Path) -> None:
    folder = create(corpus, tmp_path)
    assert folder.path == tmp_path / "mine"
    assert json.loads((folder.path / "corpus.json").read_text()) == corpus.describe()
    assert folder.corpus_description() == corpus.describe()
    assert TuningJob.read(folder.path / "job.yaml").name == "mine"


def test_the_files_have_the_names_that_stay(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    files = (
        folder.job_file,
        folder.corpus_file,
        folder.trials_file,
        folder.epochs_file,
        folder.best,
    )
    names = ["job.yaml", "corpus.json", "trials.parquet", "epochs.parquet", "best"]
    assert [file.relative_to(tmp_path).as_posix() for file in files] == names


def test_a_corpus_made_in_memory_is_saved_and_found_again_from_anywhere(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create(corpus, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    source = TuningJob.read(folder.job_file).corpus
    assert isinstance(source, str)
    assert Corpus.read(source).fingerprint == corpus.fingerprint


def test_a_corpus_that_the_job_names_is_not_copied(tmp_path: Path) -> None:
    job = TuningJob(corpus="synthetic", storage=tmp_path, name="named")
    folder = JobFolder.create(job, Corpus.read("synthetic"))
    assert not (folder.path / "corpus.npz").exists()
    assert TuningJob.read(folder.job_file).corpus == "synthetic"


def test_a_corpus_object_is_copied_even_if_it_was_read_since_how_is_not_known(
    corpus: Corpus, tmp_path: Path
) -> None:
    folder = create(replace(corpus, source="synthetic"), tmp_path)
    again = TuningJob.read(folder.job_file).corpus
    assert isinstance(again, str)
    assert Corpus.read(again).fingerprint == corpus.fingerprint


def test_a_corpus_file_named_from_the_working_directory_is_found_from_another(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.save(tmp_path / "mine.npz")
    monkeypatch.chdir(tmp_path)
    job = TuningJob(corpus="mine.npz", name="job", storage=tmp_path / "runs")
    folder = JobFolder.create(job, Corpus.read("mine.npz"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    source = TuningJob.read(folder.job_file).corpus
    assert isinstance(source, str)
    assert Corpus.read(source).fingerprint == corpus.fingerprint


def test_a_folder_that_holds_a_job_is_refused_and_left_as_it_is(
    corpus: Corpus, tmp_path: Path
) -> None:
    folder = create(corpus, tmp_path, seed=1)
    before = folder.job_file.read_bytes()
    with pytest.raises(JobError) as caught:
        create(corpus, tmp_path, seed=2)
    assert str(caught.value).startswith(f"{folder.path}: holds a job already")
    assert "\n" not in str(caught.value)
    assert folder.job_file.read_bytes() == before


def test_jobs_without_a_name_get_folders_of_their_own_named_after_the_corpus(
    corpus: Corpus, tmp_path: Path
) -> None:
    odd = replace(corpus, name="../my corpus: ü")
    paths = {create(odd, tmp_path, name=None).path for _ in range(3)}
    assert len(paths) == 3
    assert all(path.parent == tmp_path for path in paths)
    assert all(path.name.startswith("my-corpus-") for path in paths)


def test_a_storage_that_cannot_be_written_is_one_line(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match=r"^\S+: the job folder cannot be written: [^\n]+$"):
        create(corpus, tmp_path / "file")


def test_what_is_no_job_folder_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"not a job folder, job\.yaml is missing"):
        JobFolder.open(tmp_path)
    (tmp_path / "job.yaml").write_text("")
    with pytest.raises(JobError, match=r"not a job folder, corpus\.json is missing"):
        JobFolder.open(tmp_path)
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(JobError, match=r"corpus\.json: not readable"):
        JobFolder.open(tmp_path).corpus_description()


def test_tables_are_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(tmp_path)
    folder.write_tables(trials_table([], {"num_topics": 5}, 25), epochs_table([]))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert sorted(before) == ["epochs.parquet", "trials.parquet"]

    def half(table: pa.Table, file: Any) -> None:  # noqa: ARG001
        (file.write_bytes if hasattr(file, "write_bytes") else file.write)(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="disk full"):
        folder.write_tables(trials_table([], {"num_topics": 5}, 25), epochs_table([]))
    assert {file.name: file.read_bytes() for file in tmp_path.glob("[!.]*")} == before


def test_a_reader_holds_a_whole_table_while_it_is_replaced(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    empty = trials_table([], {"num_topics": 5}, 25), epochs_table([])
    folder.write_tables(*empty)
    with folder.trials_file.open("rb") as reader:
        inode = os.fstat(reader.fileno()).st_ino
        folder.write_tables(*empty)
        assert folder.trials_file.stat().st_ino != inode
        assert pq.read_table(reader).num_rows == 0


def test_the_best_model_is_a_model_folder_that_replaces_the_one_before(
    corpus: Corpus, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    folder = create(corpus, tmp_path)
    for trial, epochs in (("0000", 1), ("0001", 2)):
        model = NTM(num_topics=3, epochs=epochs).fit(corpus, device="cpu")
        model.save(folder.trial_model(trial, epochs).path)
        folder.keep_as_best(trial, epochs)
        folder.drop_model(trial)
        assert NTM.load(folder.best).metrics == model.metrics
        assert not folder.trial_model(trial, epochs).exists()
    assert sorted(file.name for file in folder.best.iterdir()) == [
        "hyperparameters.json",
        "metrics.json",
        "model.safetensors",
        "vocabulary.txt",
    ]
    folder.drop_model("0009")  # never had one


def test_of_a_trial_that_goes_on_only_models_of_earlier_epochs_are_dropped(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    for epoch in (1, 9, 27):
        with folder.trial_model("0000", epoch).new_folder() as new:
            (new / "file").write_text(str(epoch))
    folder.drop_model("0000", but=9)
    assert (folder.models / "0000").names() == ["27", "9"]
