"""The job folder in an object store: what is there at any moment, and who may write; no Ray."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ntm_ray.corpus import Corpus, bars
from ntm_ray.errors import JobError, StorageError
from ntm_ray.tuning import TuningJob
from ntm_ray.tuning import lease as lease_module
from ntm_ray.tuning import shared_journal as journal_module
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.lease import FILE
from ntm_ray.tuning.remote_folder import RemoteJobFolder, working_copy
from ntm_ray.tuning.segments import Segments
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from pathlib import Path

    from tests.loopback_s3 import LoopbackS3

CORPUS = bars(documents=60)
MODEL = ("hyperparameters.json", "metrics.json", "model.safetensors", "vocabulary.txt")


def create(s3: LoopbackS3, **fields: Any) -> RemoteJobFolder:
    job = TuningJob(**{"corpus": CORPUS, "name": "job", "storage": s3.uri("runs")} | fields)
    folder = JobFolder.create(job, CORPUS)
    assert isinstance(folder, RemoteJobFolder)
    return folder


def take(s3: LoopbackS3) -> RemoteJobFolder:
    folder = JobFolder.open(s3.uri("runs/job"))
    assert isinstance(folder, RemoteJobFolder)
    return folder


def put_model(folder: JobFolder, trial: str, epoch: int) -> None:
    with folder.trial_model(trial, epoch).new_folder() as new:
        for name in MODEL:
            (new / name).write_text(f"{name} of {trial}, {epoch}")


def lines(*numbers: int) -> bytes:
    events = ({"event": "report", "number": number} for number in numbers)
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BEAT_SECONDS", "STALE_SECONDS", "SURE_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(lease_module, name, getattr(lease_module, name) / 10)


def test_a_new_folder_is_a_job_only_when_all_of_it_is_there(s3: LoopbackS3) -> None:
    with create(s3):
        kept = {key.removeprefix("runs/job/") for key in s3.keys("runs/job/")}
        assert kept == {"corpus.json", "corpus.npz", "job.yaml", FILE}
        written = [r.rpartition("/")[2] for r in s3.requests if r.startswith("PUT")]
        assert written[-1] == "job.yaml"
    assert FILE not in {key.removeprefix("runs/job/") for key in s3.keys("runs/job/")}


def test_the_corpus_goes_along_also_where_it_has_a_name(s3: LoopbackS3, tmp_path: Path) -> None:
    text = tmp_path / "corpus.tsv"
    text.write_text("apple pear\ttrain\npear plum\ttrain\napple plum\tval\n")
    job = TuningJob(corpus=str(text), name="job", storage=s3.uri("runs"))
    corpus = Corpus.read(text)
    with JobFolder.create(job, corpus):
        pass
    text.unlink()
    with take(s3) as folder:
        job = folder.read_job()
        assert isinstance(job.corpus, str)
        assert Corpus.read(job.corpus).fingerprint == corpus.fingerprint
    assert f"corpus: {text}\n" in s3.content("runs/job/job.yaml").decode()


def test_a_name_that_is_taken_is_refused_and_what_is_there_stays(s3: LoopbackS3) -> None:
    with create(s3, seed=1):
        pass
    before = s3.content("runs/job/job.yaml")
    with pytest.raises(JobError, match="holds a job already; `ntm-ray tune --resume 's3://"):
        create(s3, seed=2)
    assert s3.content("runs/job/job.yaml") == before
    s3.put("runs/other/notes.txt", b"mine")
    with pytest.raises(JobError, match="exists already; --name gives the job another"):
        create(s3, name="other")
    with create(s3, name=None) as first, create(s3, name=None) as second:
        assert first.place.name != second.place.name
        assert first.place.name.startswith(f"{CORPUS.name}-")


@pytest.mark.parametrize("missing", ["job.yaml", "corpus.json"])
def test_what_is_no_job_is_refused_with_what_is_missing(s3: LoopbackS3, missing: str) -> None:
    for name in {"job.yaml", "corpus.json"} - {missing}:
        s3.put(f"runs/job/{name}", b"x")
    with pytest.raises(JobError, match=f"not a job folder, {missing} is missing"):
        take(s3)
    with pytest.raises(StorageError, match="there is no such bucket"):
        JobFolder.open(s3.uri("runs/job", bucket="elsewhere"))
    assert FILE not in str(s3.keys())


def test_the_best_model_is_never_half_one_and_half_another(s3: LoopbackS3) -> None:
    with create(s3) as folder:
        for trial, epoch in (("0000", 3), ("0001", 9)):
            put_model(folder, trial, epoch)
            folder.keep_as_best(trial, epoch)
            s3.requests.clear()
            assert folder.whole_best() == folder.best
            writes = [
                request.replace("/bucket/runs/job/best/", "")
                for request in s3.requests
                if "/best/" in request and request.split()[0] in ("PUT", "DELETE")
            ]
            names = [w for w in writes if w.split(maxsplit=1)[-1] in MODEL or w[:3] == "DEL"]
            assert names[-1] == "PUT metrics.json"
            if trial == "0001":
                assert names[0] == "DELETE metrics.json"
            for name in MODEL:
                text = f"{name} of {trial}, {epoch}"
                assert (folder.best / name).read_text() == text
                assert s3.content(f"runs/job/best/{name}").decode() == text


def test_what_a_trial_has_saved_goes_when_it_is_dropped_and_not_before_the_journal_is_there(
    s3: LoopbackS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "COMMIT_SECONDS", 1e6)
    with create(s3) as folder:
        journal = folder.open_journal()
        for epoch in (1, 3, 9):
            put_model(folder, "0000", epoch)
            with folder.trial_state("0000", epoch).new_folder() as new:
                (new / "file").touch()
        put_model(folder, "0001", 3)
        journal.append({"event": "report"})
        folder.drop_model("0000", but=9)
        folder.drop_model("0001")
        folder.drop_states("0000", but=1, up_to=3)
        assert folder.models.folders() == ["0000/1", "0000/3", "0000/9", "0001/3"]
        s3.requests.clear()
        folder.mirror.bring()
        assert folder.models.folders() == ["0000/9"]
        assert folder.states.folders() == ["0000/1", "0000/9"]
        written = [request for request in s3.requests if request[:3] in ("PUT", "DEL")]
        assert "/journal/" in written[0]
        assert "DELETE" in written[1]
        folder.drop_state("0000", 9)
        folder.mirror.bring()
        assert folder.states.folders() == ["0000/1"]
        journal.close()


def test_a_working_copy_with_more_of_the_journal_than_was_stored_keeps_it(s3: LoopbackS3) -> None:
    with create(s3) as folder:
        Segments(folder.place / "journal").append(lines(0, 1))
        folder.journal_file.write_bytes(lines(0, 1, 2) + b'{"event": "cut')
    with take(s3) as folder:
        journal = folder.open_journal()
        assert [event["number"] for event in journal.read()] == [0, 1, 2]
        journal.close()
    assert Segments(Place.at(s3.uri("runs/job")) / "journal").read() == lines(0, 1, 2)


@pytest.mark.parametrize("here", [lines(0), lines(0, 1, 7), b"", lines(9)])
def test_a_working_copy_that_another_machine_has_gone_beyond_follows_the_store(
    s3: LoopbackS3, here: bytes
) -> None:
    with create(s3) as folder:
        Segments(folder.place / "journal").append(lines(0, 1, 2, 3))
        folder.journal_file.write_bytes(here)
    with take(s3) as folder:
        journal = folder.open_journal()
        assert [event["number"] for event in journal.read()] == [0, 1, 2, 3]
        journal.close()
    assert Segments(Place.at(s3.uri("runs/job")) / "journal").read() == lines(0, 1, 2, 3)


def test_a_working_copy_of_another_job_of_that_name_is_not_taken_for_it(s3: LoopbackS3) -> None:
    with create(s3, seed=1) as folder:
        folder.journal_file.write_bytes(lines(0, 1))
        copy = folder.path
    for key in s3.keys("runs/job/"):
        s3._ask("DELETE", f"/bucket/{key}")
    stale = {file.name: file.read_bytes() for file in copy.iterdir() if file.is_file()}
    with create(s3, seed=2):
        pass
    for name, content in stale.items():
        (copy / name).write_bytes(content)
    with take(s3) as folder:
        assert folder.path == copy == working_copy(folder.place)
        assert folder.read_job().seed == 2
        assert not folder.journal_file.exists() or folder.journal_file.read_bytes() == b""


@pytest.mark.usefixtures("fast")
def test_a_second_driver_is_refused_while_the_first_is_at_work(s3: LoopbackS3) -> None:
    with create(s3) as folder:
        with pytest.raises(JobError, match="another process is working on this job"):
            take(s3)
        folder.lease.check()
    with take(s3):
        pass


def test_a_driver_whose_job_was_taken_over_writes_nothing_more(
    s3: LoopbackS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = create(s3)
    journal = folder.open_journal()
    journal.append({"event": "session"})
    journal.sync()
    s3.put(f"runs/job/{FILE}", b'{"driver": "other"}')
    monkeypatch.setattr(lease_module, "SURE_SECONDS", -1)  # it looks each time
    before = {key: s3.content(key) for key in s3.keys("runs/job/")}
    folder.write(folder.result_file, "{}")
    folder.drop_model("0000")
    journal.append({"event": "report"})
    with pytest.raises(JobError, match="another process has taken this job over"):
        journal.sync()
    journal.close()
    with pytest.raises(JobError, match="taken this job over"), folder:
        pass
    assert {key: s3.content(key) for key in s3.keys("runs/job/")} == before
