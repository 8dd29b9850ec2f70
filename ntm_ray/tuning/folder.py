"""The job folder: what lies where, and how it is written so that it is always whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ntm_ray.corpus import Corpus
from ntm_ray.corpus.atomic import replacing, replacing_folder
from ntm_ray.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from ntm_ray.tuning.job import TuningJob


@dataclass(frozen=True)
class JobFolder:
    """The folder of one tuning job.

    Attributes:
        path: `<storage>/<job>`.
    """

    path: Path

    @property
    def job_file(self) -> Path:
        """The job, as it was asked for, with all defaults."""
        return self.path / "job.yaml"

    @property
    def corpus_file(self) -> Path:
        """What the corpus was: sizes, and the fingerprint that a resumed job checks."""
        return self.path / "corpus.json"

    @property
    def journal_file(self) -> Path:
        """What happened, one event a line."""
        return self.path / "journal.jsonl"

    @property
    def trials_file(self) -> Path:
        """One row a trial."""
        return self.path / "trials.parquet"

    @property
    def epochs_file(self) -> Path:
        """One row a trial and epoch."""
        return self.path / "epochs.parquet"

    @property
    def result_file(self) -> Path:
        """What `--json` prints."""
        return self.path / "result.json"

    @property
    def best(self) -> Path:
        """The model folder of the best model so far."""
        return self.path / "best"

    @property
    def ray(self) -> Path:
        """What Ray keeps for itself, and what trials that still run keep."""
        return self.path / "ray"

    @property
    def models(self) -> Path:
        """Where trials put their best models until it is known who wins."""
        return self.ray / "models"

    @property
    def states(self) -> Path:
        """Where trials put what they go on from after a pause."""
        return self.ray / "states"

    @property
    def log(self) -> Path:
        """What Ray says."""
        return self.ray / "ray.log"

    @classmethod
    def create(cls, job: TuningJob, corpus: Corpus) -> JobFolder:
        """Make the folder of a new job, with its job file and its corpus description.

        Raises:
            JobError: If the folder exists already or cannot be made.
        """
        name = job.name or _new_name(job.storage, corpus.name)
        path = job.storage.absolute() / name
        folder = cls(path)
        if folder.job_file.exists():
            raise JobError(
                f"{path}: holds a job already; `ntm-ray tune --resume {path}` goes on with it, "
                "--name gives a new one another folder"
            )
        if isinstance(job.corpus, str) and corpus.source is not None:
            # Where it is from everywhere, not only from the folder that this was called in.
            job = job.model_copy(update={"corpus": corpus.source})
        try:
            path.mkdir(parents=True)
            folder.models.mkdir(parents=True)
            if isinstance(job.corpus, Corpus):
                corpus.save(path / "corpus.npz")
            description = json.dumps(corpus.describe(), indent=2) + "\n"
            folder.write(folder.corpus_file, description)
            folder.write(folder.job_file, job.to_yaml())
        except FileExistsError:
            raise JobError(f"{path}: exists already; --name gives the job another") from None
        except OSError as error:
            raise JobError(f"{path}: the job folder cannot be written: {error.strerror}") from None
        return folder

    @classmethod
    def open(cls, path: Path) -> JobFolder:
        """Take the folder of a job that was begun before.

        Raises:
            JobError: If it is not one.
        """
        folder = cls(path.absolute())
        for file in (folder.job_file, folder.corpus_file):
            if not file.is_file():
                raise JobError(f"{path}: not a job folder, {file.name} is missing")
        return folder

    def corpus_description(self) -> dict[str, Any]:
        """Return the content of `corpus.json`.

        Raises:
            JobError: If it cannot be read.
        """
        try:
            description: dict[str, Any] = json.loads(self.corpus_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise JobError(f"{self.corpus_file}: not readable: {error}") from None
        if not isinstance(description, dict):
            raise JobError(f"{self.corpus_file}: a JSON object is wanted, as ntm-ray wrote it")
        return description

    def write_tables(self, trials: pa.Table, epochs: pa.Table) -> None:
        """Write both tables, each as a whole."""
        for table, path in ((trials, self.trials_file), (epochs, self.epochs_file)):
            with replacing(path) as file:
                pq.write_table(table, file)

    def write(self, path: Path, text: str) -> None:
        """Write one of the folder's text files as a whole."""
        with replacing(path) as file:
            file.write(text.encode())

    def trial_model(self, trial: str) -> Path:
        """Where a trial puts its best model."""
        return self.models / trial

    def trial_state(self, trial: str, epoch: int) -> Path:
        """Where a trial puts its state of an epoch."""
        return self.states / trial / str(epoch)

    def keep_as_best(self, trial: str) -> None:
        """Make a trial's saved model the content of `best/`, all at once."""
        with replacing_folder(self.best) as new:
            for file in self.trial_model(trial).iterdir():
                try:
                    os.link(file, new / file.name)
                except OSError:  # not every file system has links
                    shutil.copyfile(file, new / file.name)

    def drop_model(self, trial: str) -> None:
        """Remove the model of a trial that is out of the race."""
        shutil.rmtree(self.trial_model(trial), ignore_errors=True)

    def drop_states(self, trial: str, but: int | None = None) -> None:
        """Remove the states of a trial, all or those of other epochs than `but`."""
        for state in self.states.joinpath(trial).glob("*"):
            if state.name != str(but):
                shutil.rmtree(state, ignore_errors=True)

    def drop_state(self, trial: str, epoch: int) -> None:
        """Remove the state of one epoch of a trial, if it is there."""
        shutil.rmtree(self.trial_state(trial, epoch), ignore_errors=True)

    def drop_all_trials(self) -> None:
        """Remove models and states of single trials: the job is done."""
        for folder in (self.models, self.states):
            shutil.rmtree(folder, ignore_errors=True)


def _new_name(storage: Path, corpus: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", corpus).strip("-.") or "corpus"
    stem = f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
    name, number = stem, 1
    while (storage / name).exists():
        number += 1
        name = f"{stem}-{number}"
    return name
