"""The job folder: what lies where, and how it is written so that it is always whole."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ntm_ray.corpus import Corpus
from ntm_ray.corpus.atomic import replacing
from ntm_ray.errors import JobError
from ntm_ray.tuning.journal import Journal
from ntm_ray.tuning.storage import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from ntm_ray.tuning.job import TuningJob


@dataclass(frozen=True)
class JobFolder:
    """The folder of one tuning job.

    Attributes:
        path: `<storage>/<job>`.
    """

    path: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the folder."""

    @property
    def place(self) -> Place:
        """Where the job is kept."""
        return Place(self.path)

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
        """What Ray keeps for itself, and states of trials that still run."""
        return self.path / "ray"

    @property
    def models(self) -> Place:
        """The best models of trials, each as `<trial>/<epoch>`."""
        return Place(self.path / "models")

    @property
    def states(self) -> Place:
        """Where trials put what they go on from after a pause."""
        return Place(self.ray / "states")

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
        storage = Place.at(job.storage)
        if not storage.is_local:
            from ntm_ray.tuning.remote_folder import RemoteJobFolder  # it is one of these

            return RemoteJobFolder.begin(storage, job, corpus)
        name = job.name or new_name(storage, corpus.name)
        path = storage.path / name
        folder = cls(path)
        if folder.job_file.exists():
            raise JobError(
                f"{path}: holds a job already; `ntm-ray tune --resume {path}` goes on with it, "
                "--name gives a new one another folder"
            )
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise JobError(f"{path}: exists already; --name gives the job another") from None
        except OSError as error:
            raise JobError(f"{path}: the job folder cannot be written: {error.strerror}") from None
        write_job(folder, job, corpus, with_corpus=isinstance(job.corpus, Corpus))
        return folder

    @classmethod
    def open(cls, where: str | Path) -> JobFolder:
        """Take the folder of a job that was begun before, by its path or URI.

        Raises:
            JobError: If it is not one.
        """
        place = Place.at(where)
        if not place.is_local:
            from ntm_ray.tuning.remote_folder import RemoteJobFolder  # it is one of these

            return RemoteJobFolder.take(place)
        folder = cls(place.path)
        for file in (folder.job_file, folder.corpus_file):
            if not file.is_file():
                raise JobError(f"{where}: not a job folder, {file.name} is missing")
        return folder

    def read_job(self, objects: Mapping[str, object] | None = None) -> TuningJob:
        """Read the job; see `TuningJob.read`."""
        from ntm_ray.tuning.job import TuningJob  # which offers to run it, and so needs this

        return TuningJob.read(self.job_file, objects)

    def open_journal(self) -> Journal:
        """Take hold of the journal.

        Raises:
            JobError: If another process holds it.
        """
        return Journal(self.journal_file)

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

    def trial_model(self, trial: str, epoch: int) -> Place:
        """Where a trial puts its model of an epoch."""
        return self.models / trial / str(epoch)

    def trial_state(self, trial: str, epoch: int) -> Place:
        """Where a trial puts its state of an epoch."""
        return self.states / trial / str(epoch)

    def keep_as_best(self, trial: str, epoch: int) -> None:
        """Make a trial's saved model the content of `best/`, all at once."""
        self.trial_model(trial, epoch).get_folder(self.best)

    def drop_model(self, trial: str, but: int | None = None) -> None:
        """Remove the models of a trial, all of them or those of epochs before `but`.

        Later ones stay: the trial may have saved one that nobody has heard of yet.
        """
        models = self.models / trial
        if but is None:
            models.delete()
            return
        for epoch in models.names():
            if epoch.isdigit() and int(epoch) < but:
                (models / epoch).delete()

    def whole_best(self) -> Path:
        """The model folder of the best model so far, on this machine and up to date."""
        return self.best

    def drop_states(self, trial: str, but: int | None = None, *, up_to: int | None = None) -> None:
        """Remove the states of a trial, all or those of other epochs than `but`.

        With `up_to`, only those of epochs up to it: later ones the trial may have saved, and
        nobody has heard of them yet.
        """
        states = self.states / trial
        for name in states.names():
            epoch = int(name) if name.isdigit() else -1
            if epoch != but and (up_to is None or epoch <= up_to):
                (states / name).delete()

    def drop_state(self, trial: str, epoch: int) -> None:
        """Remove the state of one epoch of a trial, if it is there."""
        self.trial_state(trial, epoch).delete()

    def tidy(self, kept: Iterable[tuple[str, int]]) -> None:
        """Remove states, and models but those of these trials and epochs: the job is done.

        What a killed process has left half-written goes too.
        """
        self.states.delete()
        there = {f"{trial}/{epoch}" for trial, epoch in kept}
        if not there:
            self.models.delete()
        for trial in self.models.names():
            for epoch in (self.models / trial).names():
                if f"{trial}/{epoch}" not in there:
                    (self.models / trial / epoch).delete()
            if not (self.models / trial).names():
                (self.models / trial).delete()


def write_job(folder: JobFolder, job: TuningJob, corpus: Corpus, *, with_corpus: bool) -> None:
    """Write into a folder that is there what a job begins with.

    Raises:
        JobError: If it cannot be written.
    """
    if isinstance(job.corpus, str) and corpus.source is not None:
        # Where it is from everywhere, not only from the folder that this was called in.
        job = job.model_copy(update={"corpus": corpus.source})
    try:
        folder.ray.mkdir()
        if with_corpus:
            corpus.save(folder.path / "corpus.npz")
        folder.write(folder.corpus_file, json.dumps(corpus.describe(), indent=2) + "\n")
        folder.write(folder.job_file, job.to_yaml())
    except OSError as error:
        raise JobError(
            f"{folder.path}: the job folder cannot be written: {error.strerror}"
        ) from None


def new_name(storage: Place, corpus: str) -> str:
    """A name for a job folder that there is none of in a place: of the corpus and the time."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", corpus).strip("-.") or "corpus"
    stem = f"{plain}-{time.strftime('%Y%m%d-%H%M%S')}"
    name, number = stem, 1
    taken = storage.names()
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
