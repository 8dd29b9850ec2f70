"""A slot: a process of Ray's that carries out trials, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import ray

from ntm_ray.errors import ModelFolderError, StorageError

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.assignment import Assignment, TrialSetting
    from ntm_ray.tuning.trial import RunningTrial

# How long a slot waits before it asks again for a trial, when there was none for it.
WAIT_SECONDS = 0.1
REPORT = "report"
FAULT = "fault"


class Slot:
    """Trains what it is assigned; each of its results has a `Report`, or None if it has no trial.

    A result with a `FAULT` says why nothing can be written.

    For Ray Tune it is one long trial of the class API. It asks for work with its first result, and
    so it does whenever its process has been started again. It is no subclass of Ray Tune's
    `Trainable`, whose import would cost each process a second and 100 MB.
    """

    def __init__(self, config: Any = None, storage: Any = None) -> None:  # noqa: ARG002
        """Begin without work; the arguments are those that Ray Tune gives."""
        self._corpus: Corpus | None = None
        self._setting: TrialSetting | None = None
        self._assignment: Assignment | None = None
        self._running: RunningTrial | None = None
        self._has_asked = False

    # What the driver calls before it asks for the next result; Ray keeps the order of calls.

    def equip(self, corpus: Corpus, setting: TrialSetting) -> None:
        """Take what all trials share; the corpus lies in the node's shared memory."""
        import torch  # only here: the driver imports this module too, and needs no torch

        torch.set_num_threads(setting.threads)
        self._corpus = corpus
        self._setting = setting

    def assign(self, assignment: Assignment | None) -> None:
        """Take the next trial, in place of the one that runs; None: there is none at present."""
        self._assignment = assignment
        self._running = None

    # What Ray Tune calls

    def train(self) -> dict[str, Any]:
        """Train up to the next report."""
        if self._assignment is None and self._running is None:
            if self._has_asked:
                time.sleep(WAIT_SECONDS)
            self._has_asked = True
            return {REPORT: None}
        self._has_asked = False
        try:
            if self._assignment is not None:
                self._running = self._begin(self._assignment)
                self._assignment = None
            assert self._running is not None
            return {REPORT: self._running.train()}
        except (OSError, ModelFolderError, StorageError) as error:
            # A disk that is full, or storage that is gone, is the job's trouble, not the trial's.
            return {REPORT: None, FAULT: str(error)}

    def stop(self) -> None:
        """Do nothing: what is worth keeping is saved."""

    def get_auto_filled_metrics(self, **_: Any) -> dict[str, Any]:
        """What Ray Tune would show of a trial that has no result yet."""
        return {}

    def _begin(self, assignment: Assignment) -> RunningTrial:
        from ntm_ray.tuning.trial import RunningTrial

        assert self._corpus is not None
        assert self._setting is not None
        device = self._setting.device
        if device == "auto" and not ray.get_gpu_ids():
            # Ray does not hide the GPUs from an actor that was given none.
            import torch

            device = "mps" if torch.backends.mps.is_available() else "cpu"
        return RunningTrial(assignment, self._corpus, self._setting, device)
