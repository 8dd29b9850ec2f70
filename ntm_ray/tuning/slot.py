"""A slot as Ray Tune runs it: an actor that carries out trials, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.assignment import Assignment, TrialSetting
    from ntm_ray.tuning.trial import RunningTrial

# How long a slot waits before it asks again for a trial, when there was none for it.
WAIT_SECONDS = 0.1
REPORT = "report"


class Slot(tune.Trainable):
    """Trains what it is assigned; each of its results has a `Report`, or None if it has no trial.

    For Ray Tune it is one long trial. It asks for work with its first result, and whenever its
    process has been started again.
    """

    def setup(  # type: ignore[override]  # tune.with_parameters adds to the arguments
        self,
        config: dict[str, Any],  # noqa: ARG002 - all slots are alike
        *,
        corpus: Corpus,
        setting: TrialSetting,
    ) -> None:
        """Take the corpus, shared by all slots of the node."""
        import torch  # only here: the driver imports this module too, and needs no torch

        torch.set_num_threads(setting.threads)
        self._corpus = corpus
        self._setting = setting
        self._assignment: Assignment | None = None
        self._running: RunningTrial | None = None
        self._has_asked = False

    def assign(self, assignment: Assignment | None) -> None:
        """Take the next trial, in place of the one that runs; None: there is none at present.

        The driver calls this before it asks for the next `step`, and Ray keeps that order.
        """
        self._assignment = assignment
        self._running = None

    def step(self) -> dict[str, Any]:
        """Train up to the next report."""
        from ntm_ray.tuning.trial import RunningTrial

        if self._assignment is not None:
            self._running = RunningTrial(
                self._assignment, self._corpus, self._setting, self._device()
            )
            self._assignment = None
        if self._running is None:
            if self._has_asked:
                time.sleep(WAIT_SECONDS)
            self._has_asked = True
            return {REPORT: None}
        self._has_asked = False
        return {REPORT: self._running.train()}

    def _device(self) -> str:
        if self._setting.device == "auto" and not ray.get_gpu_ids():
            # Ray does not hide the GPUs from an actor that was given none.
            import torch

            return "mps" if torch.backends.mps.is_available() else "cpu"
        return self._setting.device
