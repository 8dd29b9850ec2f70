"""A job folder in an object store: worked on in a copy here, which the object store follows."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ntm_ray.corpus.atomic import replacing
from ntm_ray.corpus.cache import cache_folder
from ntm_ray.corpus.object_store import ObjectPath
from ntm_ray.errors import JobError, NtmRayError, StorageError
from ntm_ray.tuning.folder import JobFolder, new_name, write_job
from ntm_ray.tuning.lease import FILE as LEASE_FILE
from ntm_ray.tuning.lease import Lease
from ntm_ray.tuning.mirror import Mirror
from ntm_ray.tuning.segments import Segments
from ntm_ray.tuning.shared_journal import SharedJournal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa

    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.journal import Journal
    from ntm_ray.tuning.storage import Place

# Seconds. A mistyped endpoint should not be waited for as storage that has answered before is.
FIRST_PATIENCE = 20.0
_CORPUS = "corpus.npz"


@dataclass(frozen=True)
class RemoteJobFolder(JobFolder):
    """The folder of one tuning job in an object store.

    `path` is the working copy, which is gone when the job is finished; what trials save goes
    straight to the object store.

    Attributes:
        home: Where the job is kept.
        lease: The right to write there.
        segments: The journal there.
        mirror: Brings what changes in the working copy there.
    """

    home: Place
    lease: Lease
    segments: Segments
    mirror: Mirror

    @classmethod
    def begin(cls, storage: Place, job: TuningJob, corpus: Corpus) -> RemoteJobFolder:
        """Make the folder of a new job; see `JobFolder.create`."""
        name = job.name or new_name(storage.with_patience(FIRST_PATIENCE), corpus.name)
        home = storage / name
        there = home.with_patience(FIRST_PATIENCE).names()
        if "job.yaml" in there:
            raise JobError(
                f"{home}: holds a job already; `ntm-ray tune --resume {home.quoted}` goes on "
                "with it, --name gives a new one another folder"
            )
        if set(there) - {LEASE_FILE}:
            raise JobError(f"{home}: exists already; --name gives the job another")
        with _held(home) as (lease, copy):
            shutil.rmtree(copy, ignore_errors=True)  # of a job that was there before
            copy.mkdir(parents=True)
            # A copy of the corpus goes along, so that the job can be resumed from any machine.
            write_job(JobFolder(copy), job, corpus, with_corpus=True)
            try:
                for file in (_CORPUS, "corpus.json", "job.yaml"):  # the last makes it a job
                    home.put_file(copy / file)
            except NtmRayError:
                with contextlib.suppress(NtmRayError):
                    home.with_patience(0).delete()
                shutil.rmtree(copy, ignore_errors=True)
                raise
            return cls(copy, home, lease, Segments(home / "journal"), Mirror(home, copy, lease))

    @classmethod
    def take(cls, home: Place) -> RemoteJobFolder:
        """Take the folder of a job that was begun before; see `JobFolder.open`."""
        there = home.with_patience(FIRST_PATIENCE).names()
        for file in ("job.yaml", "corpus.json"):
            if file not in there:
                assert isinstance(home.location, ObjectPath)
                if not home.location.is_bucket_there():
                    raise StorageError(f"{home}: there is no such bucket, or no access to it")
                raise JobError(f"{home}: not a job folder, {file} is missing")
        with _held(home) as (lease, copy):
            segments = Segments(home / "journal")
            _reconcile(home, copy, segments)
            return cls(copy, home, lease, segments, Mirror(home, copy, lease))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Bring there what is not there yet, and let go; a finished job's copy here goes.

        Raises:
            JobError: It cannot be brought there, which takes nothing away from the copy here.
        """
        self.mirror.close()
        gone = isinstance(error, StorageError) or isinstance(
            getattr(error, "__cause__", None), StorageError
        )
        try:
            if self.mirror.is_well and not gone:
                if self.log.exists():
                    self.mirror.file("ray/ray.log")
                self.mirror.bring()
        except NtmRayError as trouble:
            if error is None and not isinstance(trouble, StorageError):
                raise
            if error is None:
                raise JobError(
                    f"{self.home}: the results could not be brought there: {trouble}; "
                    f"`ntm-ray tune --resume {self.home.quoted}` does once that is mended"
                ) from trouble
        else:
            if error is None and self.is_done:
                shutil.rmtree(self.path, ignore_errors=True)
        finally:
            self.lease.release()

    @property
    def place(self) -> Place:
        """Where the job is kept."""
        return self.home

    @property
    def models(self) -> Place:
        """The best models of trials, each as `<trial>/<epoch>.tar`."""
        return self.home / "models"

    @property
    def states(self) -> Place:
        """Where trials put what they go on from after a pause."""
        return self.home / "ray" / "states"

    @property
    def is_done(self) -> bool:
        """Whether the job is finished: nothing of its trials is kept."""
        return (self.path / _DONE).exists()

    def read_job(self, objects: Mapping[str, object] | None = None) -> TuningJob:
        """Read the job; its corpus is the copy that went along."""
        return super().read_job(objects).model_copy(update={"corpus": str(self.path / _CORPUS)})

    def open_journal(self) -> Journal:
        """Take hold of the journal."""
        journal = SharedJournal(self.journal_file, self.segments, self.lease)
        self.mirror.before_removal(journal.sync)
        return journal

    def write_tables(self, trials: pa.Table, epochs: pa.Table) -> None:
        """Write both tables."""
        super().write_tables(trials, epochs)
        self.mirror.file(self.trials_file.name)
        self.mirror.file(self.epochs_file.name)

    def write(self, path: Path, text: str) -> None:
        """Write one of the folder's text files."""
        super().write(path, text)
        self.mirror.file(path.relative_to(self.path).as_posix())

    def keep_as_best(self, trial: str, epoch: int) -> None:
        """Make a trial's saved model the content of `best/`, at the next occasion."""
        self.mirror.best(self.trial_model(trial, epoch))

    def whole_best(self) -> Path:
        """The model folder of the best model, here."""
        self.mirror.bring()
        return self.best

    def drop_model(self, trial: str, but: int | None = None) -> None:
        """Remove models of a trial, at the next occasion."""
        self.mirror.drop(self.models, trial, lambda epoch: but is None or epoch < but)

    def drop_states(self, trial: str, but: int | None = None, *, up_to: int | None = None) -> None:
        """Remove states of a trial, at the next occasion."""
        self.mirror.drop(
            self.states,
            trial,
            lambda epoch: epoch != but and (up_to is None or epoch <= up_to),
        )

    def drop_state(self, trial: str, epoch: int) -> None:
        """Remove the state of one epoch of a trial, at the next occasion."""
        self.mirror.drop(self.states, trial, lambda one: one == epoch)

    def tidy(self, kept: Iterable[tuple[str, int]]) -> None:
        """Remove states, and models but those of these trials and epochs: the job is done."""
        self.mirror.bring()
        (self.home / "ray").delete()
        there = {f"{trial}/{epoch}" for trial, epoch in kept}
        for folder in self.models.folders():
            if folder not in there:
                (self.models / folder).delete_folder()
        (self.path / _DONE).touch()


_DONE = "done"


def working_copy(home: Place) -> Path:
    """Where the copy of a job folder in an object store is worked on, on this machine."""
    digest = hashlib.sha256(home.uri.encode()).hexdigest()[:16]
    return cache_folder() / "jobs" / f"{home.name}-{digest}"


@contextlib.contextmanager
def _held(home: Place) -> Iterator[tuple[Lease, Path]]:
    """Take the lease of a job folder, and give it back if that leads to nothing."""
    lease = Lease(home)
    try:
        lease.acquire()
        yield lease, working_copy(home)
    except BaseException:
        lease.release()
        raise


def _reconcile(home: Place, copy: Path, segments: Segments) -> None:
    """Make the working copy one of the job as it is kept, with all that is known here of it."""
    try:
        copy.joinpath("ray").mkdir(parents=True, exist_ok=True)
        for name in ("job.yaml", "corpus.json"):
            content = home.read_bytes(name)
            if (copy / name).exists() and (copy / name).read_bytes() != content:
                # Another job had this name.
                shutil.rmtree(copy)
                copy.joinpath("ray").mkdir(parents=True)
            (copy / name).write_bytes(content)
        if not (copy / _CORPUS).exists():
            with replacing(copy / _CORPUS) as file:
                file.write(home.read_bytes(_CORPUS))
        kept = segments.read()
        journal = copy / "journal.jsonl"
        here = journal.read_bytes() if journal.exists() else b""
        if not here.startswith(kept):
            # Else there is more here than was stored when this machine's driver was killed.
            with replacing(journal) as file:
                file.write(kept)
    except OSError as error:
        raise JobError(f"{copy}: the working copy cannot be made: {error.strerror}") from None
