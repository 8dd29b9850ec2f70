"""Ray Tune carries the trials out: it starts the slots, places them, and starts them again.

What Ray Tune calls a trial is here a slot (`ntm_ray.tuning.slot`) that trains one of our trials
after the other: its controller, whose work and memory grow with the number of its trials, has few
of them however many ours are, and a new trial costs one message. Nothing is decided here. Ray
Tune's own persistence is not used: a job is resumed from its journal (`ntm_ray.tuning.journal`),
which, unlike Ray's pickles, is exact and safe to open.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.error import TuneError
from ray.tune.execution.class_cache import _ActorClassCache
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.stopper import Stopper

from ntm_ray.errors import JobError, ModelFolderError, NtmRayError
from ntm_ray.tuning.assignment import TrialSetting
from ntm_ray.tuning.schedulers import Decision
from ntm_ray.tuning.slot import FAULT, REPORT, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.assignment import Assignment, Report
    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.folder import JobFolder
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.session import Session

# A trial is begun again this often after its process died; a fault of the configuration itself
# shows as divergence, not as a dead process.
MAX_FAILURES = 2
TRIALS_A_GPU = 4
"""How many trials share a GPU of a cluster unless `gpus_per_trial` says otherwise."""


def run_trials(
    session: Session,
    job: TuningJob,
    corpus: Corpus,
    folder: JobFolder,
    interrupted: threading.Event,
    *,
    is_cluster: bool,
) -> None:
    """Carry out trials until the engine has none left, or until `interrupted` is set.

    Args:
        session: Where trials come from and reports go to.
        job: The job, for slots, threads, device and fixed hyperparameters.
        corpus: What the trials train on; put once into each node's shared memory.
        folder: The job folder.
        interrupted: Set from outside, for example by `ctrl_c`, to stop.
        is_cluster: Whether Ray runs on more than this machine, and nodes may join later.

    Raises:
        JobError: If the GPU that a trial asks for is not to be had.
        OSError: If the job folder cannot be written.
    """
    engine = session.engine
    setting = TrialSetting(
        rungs=frozenset(engine.scheduler.rungs),
        threads=job.threads,
        device=job.device,
        precision=job.precision,
        models=folder.models,
        states=folder.states,
    )
    assigner = _Assigner(session, ray.put(corpus), setting, interrupted)
    # On a cluster there is a slot for each trial that could run; those for which there is no room
    # wait for other trials to end and for nodes to join.
    slots = job.trials + 1 - engine.ended
    for limit in (job.max_concurrent, None if is_cluster else job.slots):
        slots = min(slots, limit or slots)
    try:
        with _actors_of(Slot):
            tune.run(
                tune.with_resources(_SlotForTune, _resources(job, is_cluster=is_cluster)),
                name="tune",
                storage_path=str(folder.ray),
                num_samples=slots,
                scheduler=assigner,
                callbacks=[_Watch(session, assigner)],
                stop=_NothingLeft(engine, interrupted),
                max_failures=-1,  # counted for each of our trials instead, by `process_died`
                raise_on_failed_trial=False,
                trial_dirname_creator=lambda trial: f"slot-{trial.trial_id}",
                verbose=0,
            )
    except TuneError as error:
        # What goes wrong in the session, a full disk for one, comes wrapped in a traceback.
        if (cause := _cause(error)) is None:
            raise
        raise cause from None


class _SlotForTune(Slot, tune.Trainable):  # type: ignore[misc]  # it asks for less
    """A slot as what Ray Tune's driver takes for a trainable."""


@contextlib.contextmanager
def _actors_of(cls: type) -> Iterator[None]:
    """Have Ray Tune make actors of a class that is none of its own, for a while.

    It makes them of the trainable, so that each process would import Ray Tune, and asks for
    processes with environment variables of their own, which are never among those that wait.
    """
    actor_class: Any = ray.remote(cls)
    before = _ActorClassCache.get
    _ActorClassCache.get = lambda _, __: actor_class  # type: ignore[method-assign]
    try:
        yield
    finally:
        _ActorClassCache.get = before  # type: ignore[method-assign]


@contextlib.contextmanager
def ctrl_c(session: Session) -> Iterator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into a request to stop, the second into an interrupt."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # only the main thread hears signals
        return

    def request(number: int, frame: object) -> None:  # noqa: ARG001 - as `signal` calls it
        for name, handler in before.items():
            signal.signal(name, handler)
        interrupted.set()
        session.stopping()

    before = {name: signal.signal(name, request) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class _NothingLeft(Stopper):
    """Ends the run when asked to, and when nothing is left to do: some slots may never start."""

    def __init__(self, engine: Engine, interrupted: threading.Event) -> None:
        self._engine = engine
        self._interrupted = interrupted

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        return False

    def stop_all(self) -> bool:
        return self._interrupted.is_set() or self._engine.is_finished

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Ray pickles it with its own state, which is never read again


def _resources(job: TuningJob, *, is_cluster: bool) -> tune.PlacementGroupFactory:
    """What Ray sets aside for a slot."""
    gpu = _gpus_per_slot(job, is_cluster=is_cluster)
    bundle = {"CPU": job.cpus_per_trial} | ({"GPU": gpu} if gpu else {})
    if job.accelerator_type is not None:
        bundle[f"accelerator_type:{job.accelerator_type}"] = 0.001
    return tune.PlacementGroupFactory([bundle])


def _gpus_per_slot(job: TuningJob, *, is_cluster: bool) -> float:
    if job.device in {"cpu", "mps"}:
        share = 0.0
    elif job.gpus_per_trial != "auto":
        share = job.gpus_per_trial
    else:
        gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
        if is_cluster:
            # Those that are wanted by name may come later.
            wanted = gpus or job.device == "cuda" or job.accelerator_type is not None
            share = 1 / TRIALS_A_GPU if wanted else 0.0
        else:
            # Ray counts GPUs in ten-thousandths; rounding up would leave the last slot none.
            share = min(1.0, int(gpus / job.slots * 10_000) / 10_000)
    if not share and job.device == "cuda":
        raise JobError("device = 'cuda': Ray sees no GPU here; use auto or cpu")
    if not share and job.precision != "float32":
        raise JobError(f"precision = {job.precision!r}: Ray sees no GPU here; use float32")
    return share


@dataclass
class _Slot:
    """What a slot is at, as the driver knows it.

    Attributes:
        trial: The trial that it was assigned last, until that has ended or paused.
        failures_before: How often its process had died before it was assigned that trial.
        starts: How often its process has been started since its last result.
        is_new: Whether its process has not been given the corpus yet.
    """

    trial: str | None = None
    failures_before: int = 0
    starts: int = 0
    is_new: bool = True


class _Assigner(FIFOScheduler):
    """Hands the reports of slots to the session, and the session's trials to slots."""

    def __init__(
        self,
        session: Session,
        corpus: ray.ObjectRef[Corpus],
        setting: TrialSetting,
        interrupted: threading.Event,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._session = session
        self._equipment = corpus, setting
        self._interrupted = interrupted
        self._slots: defaultdict[str, _Slot] = defaultdict(_Slot)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        slot = self._slots[trial.trial_id]
        slot.starts = 0
        if FAULT in result:
            raise ModelFolderError(result[FAULT])
        assignment: Assignment | None
        report: Report | None = result[REPORT]
        if report is not None:
            if self._session.report(report) is Decision.CONTINUE:
                return str(TrialScheduler.CONTINUE)
            slot.trial = None
        if self._interrupted.is_set():
            return str(TrialScheduler.STOP)
        if slot.trial is not None:
            # It asks for work and has some: its process has died, and was started again.
            assignment = self._session.assignment(slot.trial)
        else:
            assignment = self._session.next_assignment()
            if assignment is None and not self._session.engine.has_more:
                return str(TrialScheduler.STOP)
            if assignment is not None:
                slot.trial, slot.failures_before = assignment.trial, trial.num_failures
        # Calls of an actor are carried out in their order, so these are before Ray Tune's next.
        actor = trial.temporary_state.ray_actor
        if slot.is_new:
            actor.equip.remote(*self._equipment)
            slot.is_new = False
        actor.assign.remote(assignment)
        return str(TrialScheduler.CONTINUE)

    def process_died(self, ray_trial: Any) -> None:
        """Take note that a slot's process has died, or raised an error, and is started again.

        Raises:
            JobError: If processes do not come to life at all.
        """
        slot = self._slots[ray_trial.trial_id]
        error = _last_line(ray_trial.error_file)
        if slot.trial and ray_trial.num_failures - slot.failures_before > MAX_FAILURES:
            self._session.fail(slot.trial, error)
            slot.trial = None
        slot.is_new = True
        slot.starts += 1
        if slot.starts > MAX_FAILURES + 1:
            raise JobError(f"the processes that train do not start: {error}")


class _Watch(tune.Callback):
    """Looks in on Ray Tune's loop: to show progress, and to hear of processes that died."""

    def __init__(self, session: Session, assigner: _Assigner) -> None:
        self._session = session
        self._assigner = assigner

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ARG002
        self._session.tell_observer()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        self._assigner.process_died(trial)


def _last_line(error_file: str | None) -> str:
    """The last line of a traceback that Ray has written: the error itself."""
    text = ""
    if error_file and Path(error_file).exists():
        text = Path(error_file).read_text(encoding="utf-8", errors="replace").strip()
    return text.splitlines()[-1] if text else "the trial's process died"


def _cause(error: BaseException | None) -> NtmRayError | OSError | None:
    """What of ours lies under an exception that Ray Tune raised, if anything does."""
    while error is not None and not isinstance(error, NtmRayError | OSError):
        error = error.__cause__ or error.__context__
    return error
