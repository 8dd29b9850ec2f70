"""The driver: turns a job and its corpus into a Ray Tune run, and the run into a result."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ntm_ray.corpus import CORPORA, Corpus, unigram_loss
from ntm_ray.errors import (
    InterruptedJobError,
    JobError,
    ModelFolderError,
    NtmRayError,
    StorageError,
)
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.folder import JobFolder
from ntm_ray.tuning.head_watch import watching_head
from ntm_ray.tuning.progress import Nobody, Observer
from ntm_ray.tuning.ray_connection import RayConnection, ray_for
from ntm_ray.tuning.result import TuningResult
from ntm_ray.tuning.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.journal import Event, Journal


def run_job(
    job: TuningJob, observer: Observer | None = None, address: str | None = None
) -> TuningResult:
    """Carry out a new job; see `TuningJob.run`."""
    if job.device == "mps":
        from ntm_ray.model import resolve_device  # of GPUs, Ray knows more than this process

        resolve_device(job.device)
    with ray_for(job, address) as ray:
        if _is_there(job):
            ray.start()
        corpus = _read_corpus(job)
        if ray.is_cluster:
            ray.wait()  # a cluster that cannot be joined leaves no job folder behind
        with JobFolder.create(job, corpus) as folder:
            return _carry_out(job, corpus, folder, observer or Nobody(), ray)


def resume_job(
    where: str | Path,
    observer: Observer | None = None,
    address: str | None = None,
    objects: Mapping[str, object] | None = None,
) -> TuningResult:
    """Go on with a job; see `TuningJob.resume`, and `TuningJob.read` for the objects."""
    with JobFolder.open(where) as folder:
        job = folder.read_job(objects)
        corpus = _read_corpus(job)
        was = folder.corpus_description()
        if corpus.fingerprint != was.get("fingerprint"):
            raise JobError(
                f"{folder.corpus_file}: the corpus {job.corpus!s} is no longer what it was when "
                "the job began; put it back, or begin a new job"
            )
        with ray_for(job, address) as ray:
            return _carry_out(job, corpus, folder, observer or Nobody(), ray)


def _is_there(job: TuningJob) -> bool:
    """Whether a corpus can probably be read: else Ray would be started for nothing."""
    return not isinstance(job.corpus, str) or job.corpus in CORPORA or Path(job.corpus).exists()


def _read_corpus(job: TuningJob) -> Corpus:
    if isinstance(job.corpus, Corpus):
        corpus = job.corpus
    else:
        corpus = Corpus.read(job.corpus, options=job.reading)
    fixed = job.hyperparameters.get("feature_dim", corpus.feature_dim)
    if fixed != corpus.feature_dim:
        raise JobError(
            f"feature_dim: {fixed} is not the size of the vocabulary of corpus {corpus.name!r}; "
            f"leave it out, or give {corpus.feature_dim}"
        )
    if not corpus.documents["validation"] and corpus.left_out.get("validation"):
        raise JobError(
            f"corpus {corpus.name!r}: none of its {corpus.left_out['validation']} validation "
            "documents holds a word of the vocabulary, which is that of the training documents"
        )
    if not corpus.documents["validation"]:
        raise JobError(
            f"corpus {corpus.name!r}: has no validation documents, and tuning compares trials on "
            "them; set validation_fraction above 0 or bring a validation partition"
        )
    return corpus


def _carry_out(
    job: TuningJob, corpus: Corpus, folder: JobFolder, observer: Observer, ray: RayConnection
) -> TuningResult:
    journal: Journal | None = None
    try:
        journal = folder.open_journal()
        events = journal.read()
        begun = round(time.time(), 3)
        engine = Engine(job, journal.append)
        engine.resume(events)
        wall_seconds = _seconds_at_work(events)
        del events  # of a long job, they are as large as all that is known of it
        if engine.best is not None and engine.best.saved is not None:
            kept = engine.best.name, engine.best.saved["epoch"]
            if folder.trial_model(*kept).exists():
                # A process that was killed may have left best/ missing, or ahead of the journal.
                folder.keep_as_best(*kept)
        session = Session(engine, folder, corpus.feature_dim, observer, journal.sync)
        if not engine.is_finished:
            journal.append({"event": "session", "time": begun})
            _run_trials(session, job, corpus, folder, observer, ray)
            ended = round(time.time(), 3)
            journal.append({"event": "end", "time": ended})
            journal.sync()
            wall_seconds += ended - begun
        session.write_tables()
        if engine.is_finished:
            folder.tidy(_kept_models(engine))
        if engine.best is None:
            raise _why_nothing(engine, folder)
        from ntm_ray.model import NTM  # only now: the slots have torch, and the driver needs none

        result = TuningResult.of(
            engine,
            NTM.load(folder.whole_best()),
            place=folder.place,
            unigram=unigram_loss(corpus.train, corpus.validation),
            wall_seconds=wall_seconds,
        )
        folder.write(folder.result_file, json.dumps(result.to_json_dict(), indent=2) + "\n")
    except (OSError, ModelFolderError, StorageError) as error:
        reason = str(error) if isinstance(error, NtmRayError) else error.strerror or error
        raise JobError(
            f"{folder.place}: {reason}; what is finished is kept, and "
            f"`ntm-ray tune --resume {folder.place.quoted}` goes on once that is mended"
        ) from error
    finally:
        if journal is not None:
            journal.close()
    return result


def _run_trials(
    session: Session,
    job: TuningJob,
    corpus: Corpus,
    folder: JobFolder,
    observer: Observer,
    ray: RayConnection,
) -> None:
    observer.started(job, corpus, folder.place)
    try:
        ray.log_to(folder.log)
        ray.start()
        # Here, because importing Ray Tune takes a second, in which Ray starts.
        from ntm_ray.tuning.ray_tune import ctrl_c, run_trials

        with contextlib.ExitStack() as stack:
            interrupted = stack.enter_context(ctrl_c(session))
            ray.wait()
            if ray.is_cluster:
                farewell = (
                    "what is finished is kept, and "
                    f"`ntm-ray tune --resume {folder.place.quoted}` goes on once it is back"
                )
                stack.enter_context(watching_head(ray.head, session.say, farewell))
            run_trials(session, job, corpus, folder, interrupted, is_cluster=ray.is_cluster)
        observer.update(session.progress())
    finally:
        observer.ended()


def _kept_models(engine: Engine) -> list[tuple[str, int]]:
    """Trials and epochs of the models that a finished job keeps, besides best/."""
    kept = [one for one in engine.searched if one.is_kept and engine.job.keep_models_mb]
    return [(one.name, one.saved["epoch"]) for one in kept if one.saved is not None]


def _why_nothing(engine: Engine, folder: JobFolder) -> JobError:
    trials = engine.searched
    errors = [trial.error for trial in trials if trial.error]
    if errors:
        return JobError(
            f"{folder.place}: no trial has a model; the first that failed says: {errors[0]}"
        )
    if engine.is_finished:
        return JobError(
            f"{folder.place}: all {len(trials)} trials diverged; "
            "try a search space with smaller learning rates, or --set clip_gradient=1"
        )
    return InterruptedJobError(
        f"{folder.place}: stopped before a trial had reached its first rung; "
        f"`ntm-ray tune --resume {folder.place.quoted}` goes on"
    )


def _seconds_at_work(events: list[Event]) -> float:
    """Sum the lengths of all sessions; one that was killed ends with its last event."""
    seconds = 0.0
    begun = ended = None
    for event in events:
        if event["event"] == "session":
            seconds += (ended or 0.0) - (begun or ended or 0.0)
            begun = event["time"]
        ended = event["time"]
    return seconds + (ended or 0.0) - (begun or ended or 0.0)
