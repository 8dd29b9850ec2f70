"""What follows a job's working copy into the object store, now and then, in the background."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ntm_ray.errors import JobError, NtmRayError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ntm_ray.tuning.lease import Lease
    from ntm_ray.tuning.storage import Place

# Tables and the best model are written as a whole, and nobody looks at them more often.
ROUND_SECONDS = 30.0
_LAST_OF_A_MODEL = "metrics.json"


@dataclass
class _ToDo:
    """What the next round has to do.

    Attributes:
        files: Names of files of the working copy that have changed.
        best: Where the model of the best trial is, if that has changed.
        to_drop: For each place of models or states, and trial, what says whether that of an epoch
            is to go.
    """

    files: set[str] = field(default_factory=set)
    best: Place | None = None
    to_drop: dict[tuple[Place, str], list[Callable[[int], bool]]] = field(default_factory=dict)


class Mirror:
    """Brings files, the best model and removals of a working copy to where the job is kept."""

    def __init__(self, home: Place, copy: Path, lease: Lease) -> None:
        """Begin to watch for what is to do.

        Args:
            home: The job folder in the object store.
            copy: The working copy.
            lease: Looked at before anything is written.
        """
        self._home = home
        self._copy = copy
        self._lease = lease
        self._to_do = _ToDo()
        self._digests: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._round = threading.Lock()
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._before_removal: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._live, name="mirror", daemon=True)
        self._thread.start()

    @property
    def is_well(self) -> bool:
        """Whether everything could be brought there so far."""
        return self._error is None

    def before_removal(self, action: Callable[[], None]) -> None:
        """Have something done before models are removed: what says so must be durable first."""
        self._before_removal = action

    def file(self, name: str) -> None:
        """Take note that a file has changed."""
        with self._lock:
            self._to_do.files.add(name)

    def best(self, model: Place) -> None:
        """Take note of a new best model."""
        with self._lock:
            self._to_do.best = model

    def drop(self, place: Place, trial: str, is_to_go: Callable[[int], bool]) -> None:
        """Take note that models or states of a trial are to be removed, by their epochs."""
        with self._lock:
            self._to_do.to_drop.setdefault((place, trial), []).append(is_to_go)

    def bring(self) -> None:
        """Do now what is to do.

        Raises:
            JobError: Another process has taken the job over.
            StorageError: The object store refuses, or cannot be reached.
        """
        with self._round:
            if self._error is not None:
                raise self._error
            try:
                self._bring()
            except (NtmRayError, OSError) as error:
                known = isinstance(error, NtmRayError)
                self._error = error if known else JobError(f"{self._home}: {error}")
                raise self._error from error

    def close(self) -> None:
        """Do nothing any more."""
        self._ended.set()
        self._thread.join()

    def _live(self) -> None:
        while not self._ended.wait(ROUND_SECONDS):
            try:
                self.bring()
            except NtmRayError:
                return  # who brings the rest will hear of it

    def _bring(self) -> None:
        with self._lock:
            to_do, self._to_do = self._to_do, _ToDo()
        if to_do == _ToDo():
            return
        self._lease.check()
        if to_do.best is not None:
            self._bring_best(to_do.best)
        for name in sorted(to_do.files):
            self._put(name)
        if to_do.to_drop:
            self._before_removal()
            self._remove(to_do.to_drop)

    def _put(self, name: str) -> None:
        """Write a file, unless this has written it as it is now."""
        file = self._copy / name
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").digest()
        if self._digests.get(name) != digest:
            folder = name.rpartition("/")[0]
            (self._home / folder if folder else self._home).put_file(file)
            self._digests[name] = digest

    def _bring_best(self, model: Place) -> None:
        best = self._copy / "best"
        model.get_folder(best)
        # Without it a folder is no model folder: what is half this model and half the one before
        # is never taken for one.
        (self._home / best.name).delete_file(_LAST_OF_A_MODEL)
        self._digests.pop(f"best/{_LAST_OF_A_MODEL}", None)
        names = sorted(file.name for file in best.iterdir())
        for name in [*(n for n in names if n != _LAST_OF_A_MODEL), _LAST_OF_A_MODEL]:
            self._put(f"best/{name}")

    def _remove(self, to_drop: dict[tuple[Place, str], list[Callable[[int], bool]]]) -> None:
        for there in {place for place, _ in to_drop}:
            for folder in there.folders():
                trial, _, epoch = folder.partition("/")
                wishes = to_drop.get((there, trial), ())
                if epoch.isdigit() and any(is_to_go(int(epoch)) for is_to_go in wishes):
                    (there / folder).delete_folder()
