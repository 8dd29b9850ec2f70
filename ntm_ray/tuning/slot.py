"""A slot: a process of Ray's that carries out trials, one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from ntm_ray.errors import ModelFolderError, StorageError
from ntm_ray.model.memory import is_out_of_memory

if TYPE_CHECKING:
    from ntm_ray.corpus import Corpus
    from ntm_ray.model.judge import Judge
    from ntm_ray.tuning.assignment import Assignment, TrialSetting
    from ntm_ray.tuning.trial import RunningTrial

# How long a slot waits before it asks again for a trial, when there was none for it.
WAIT_SECONDS = 0.1
REPORT = "report"
FAULT = "fault"
OUT_OF_MEMORY = "out_of_memory"
WHERE = "where"
# Of a GPU's memory, what is not for trials: the driver's own, and what fragments.
_SHARE_OF_GPU = 0.92


@dataclass(frozen=True)
class Where:
    """Where a slot's process runs.

    Attributes:
        node: Ray's name of the node.
        address: Its address.
        gpu: Ray's number of the GPU that it was given, or None.
        gpu_memory: Bytes that trials may take of that GPU; 0 without one.
    """

    node: str
    address: str
    gpu: str | None
    gpu_memory: int


class Slot:
    """Trains what it is assigned; each of its results has a `Report`, or None if it has no trial.

    The first result of a process says `WHERE` it runs. One with a `FAULT` says why nothing can be
    written, one with `OUT_OF_MEMORY` what the trial at hand could not get.

    For Ray Tune it is one long trial of the class API. It asks for work with its first result, and
    so it does whenever its process has been started again. It is no subclass of Ray Tune's
    `Trainable`, whose import would cost each process a second and 100 MB.
    """

    def __init__(self, config: Any = None, storage: Any = None) -> None:  # noqa: ARG002
        """Begin without work; the arguments are those that Ray Tune gives.

        Args:
            config: The job's `device`.
            storage: Of no use here.
        """
        self._device = (config or {}).get("device", "auto")
        self._corpus: Corpus | None = None
        self._setting: TrialSetting | None = None
        self._judge: Judge | None = None
        self._assignment: Assignment | None = None
        self._running: RunningTrial | None = None
        self._has_asked = False
        self._has_said_where = False

    # What the driver calls before it asks for the next result; Ray keeps the order of calls.

    def equip(self, corpus: Corpus, setting: TrialSetting) -> None:
        """Take what all trials share; the corpus lies in the node's shared memory."""
        import torch  # only here: the driver imports this module too, and needs no torch

        torch.set_num_threads(setting.threads)
        self._corpus = corpus
        self._judge = None
        self._setting = setting

    def assign(self, assignment: Assignment | None) -> None:
        """Take the next trial, in place of the one that runs; None: there is none at present."""
        self._assignment = assignment
        if self._running is not None:
            self._running = None
            _give_memory_back()

    # What Ray Tune calls

    def train(self) -> dict[str, Any]:
        """Train up to the next report."""
        if self._assignment is None and self._running is None:
            if self._has_asked:
                time.sleep(WAIT_SECONDS)
            where = {} if self._has_said_where else {WHERE: self._where()}
            self._has_asked = self._has_said_where = True
            return {REPORT: None} | where
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
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            said = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._running = None
        self._assignment = None
        _give_memory_back()
        return {REPORT: None, OUT_OF_MEMORY: said}

    def stop(self) -> None:
        """Do nothing: what is worth keeping is saved."""

    def get_auto_filled_metrics(self, **_: Any) -> dict[str, Any]:
        """What Ray Tune would show of a trial that has no result yet."""
        return {}

    def _begin(self, assignment: Assignment) -> RunningTrial:
        from ntm_ray.model.judge import Judge
        from ntm_ray.tuning.trial import RunningTrial

        assert self._corpus is not None
        assert self._setting is not None
        models, device = self._setting.models, self._setting.device
        if models.is_local and not models.path.parent.is_dir():
            raise StorageError(
                f"node {_address()} does not see {models.path.parent}: nodes "
                "of a cluster need storage that all of them share, as in "
                "--storage s3://bucket/runs, or a folder that is mounted on all of them"
            )
        if device == "auto" and not ray.get_gpu_ids():
            # Ray does not hide the GPUs from an actor that was given none.
            import torch

            device = "mps" if torch.backends.mps.is_available() else "cpu"
        if self._judge is None:
            self._judge = Judge(self._corpus)
        return RunningTrial(assignment, self._corpus, self._setting, device, self._judge)

    def _where(self) -> Where:
        if not ray.is_initialized():  # asking it anything would start one
            return Where(node="", address="", gpu=None, gpu_memory=0)
        context = ray.get_runtime_context()
        gpus = ray.get_gpu_ids() if self._device in {"auto", "cuda"} else []
        memory = 0
        if gpus:
            import torch

            # Ray shows a process no GPU but its own.
            if torch.cuda.is_available():
                memory = int(torch.cuda.mem_get_info()[1] * _SHARE_OF_GPU)
        return Where(
            node=context.get_node_id(),
            address=_address(),
            gpu=str(gpus[0]) if gpus else None,
            gpu_memory=memory,
        )


def _address() -> str:
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def _give_memory_back() -> None:
    """Return what a failed trial has held to the device, for the others there."""
    import gc

    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()
