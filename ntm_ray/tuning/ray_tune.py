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
import time
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.error import TuneError
from ray.tune.execution.class_cache import _ActorClassCache
from ray.tune.stopper import Stopper

from ntm_ray.errors import JobError, NtmRayError
from ntm_ray.tuning.assigner import MAX_FAILURES, Assigner
from ntm_ray.tuning.assignment import TrialSetting
from ntm_ray.tuning.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntm_ray.corpus import Corpus
    from ntm_ray.tuning.engine import Engine
    from ntm_ray.tuning.folder import JobFolder
    from ntm_ray.tuning.job import TuningJob
    from ntm_ray.tuning.session import Session

# Starting a process on a busy node may take so many seconds, and nobody waits for a node then.
_SAID_AFTER = 15.0
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
        checkpoint_seconds=job.checkpoint_seconds,
        models=folder.models,
        states=folder.states,
        objective=job.objective,
    )
    assigner = Assigner(session, corpus, setting, interrupted)
    resources = _resources(job, is_cluster=is_cluster)
    idle_rounds = 0
    while not (engine.is_finished or interrupted.is_set()):
        before = engine.epochs_spent, engine.ended
        slots = _slots(job, engine, is_cluster=is_cluster)
        watch = _Watch(session, assigner, resources if is_cluster else None)
        _run_slots(session, folder, assigner, watch, resources, slots, interrupted)
        # A slot whose process dies while it starts is given up by Ray Tune, and its trial with it.
        assigner.start_again()
        idle_rounds = idle_rounds + 1 if before == (engine.epochs_spent, engine.ended) else 0
        if idle_rounds > MAX_FAILURES:
            raise JobError(f"the processes that train do not start; {folder.log} says more")


def _run_slots(
    session: Session,
    folder: JobFolder,
    assigner: Assigner,
    watch: _Watch,
    resources: tune.PlacementGroupFactory,
    slots: int,
    interrupted: threading.Event,
) -> None:
    """Have Ray Tune start slots and keep them alive until there is nothing left to do."""
    engine = session.engine
    try:
        with _actors_of(Slot), _killed_for_memory_is_dead():
            tune.run(
                tune.with_resources(_SlotForTune, resources),
                name="tune",
                config={"device": engine.job.device},
                storage_path=str(folder.ray),
                num_samples=slots,
                scheduler=assigner,
                callbacks=[watch],
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


def _slots(job: TuningJob, engine: Engine, *, is_cluster: bool) -> int:
    """How many slots there are at most.

    On a cluster there is one for each trial that could run; those for which there is no room wait
    for other trials to end and for nodes to join.
    """
    slots = job.trials + 1 - engine.ended
    for limit in (job.max_concurrent, None if is_cluster else job.slots):
        slots = min(slots, limit or slots)
    return slots


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
def _killed_for_memory_is_dead() -> Iterator[None]:
    """Have Ray Tune take a process that Ray killed for its memory for one that died.

    Its controller knows no such error, and ends the whole run with it.
    """
    manager: Any = RayActorManager
    before = manager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, ray.exceptions.OutOfMemoryError):
            exception = ray.exceptions.RayActorError(error_msg=str(exception))
        before(self, tracked_actor_task=tracked_actor_task, exception=exception)

    manager._actor_task_failed = failed
    try:
        yield
    finally:
        manager._actor_task_failed = before


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


class _Watch(tune.Callback):
    """Looks in on Ray Tune's loop: to show progress, and to hear of processes that died."""

    def __init__(
        self,
        session: Session,
        assigner: Assigner,
        resources: tune.PlacementGroupFactory | None,
    ) -> None:
        """Begin; `resources` are those that a slot may have to wait for."""
        self._session = session
        self._assigner = assigner
        self._begun = time.monotonic()
        self._note: str | None = None
        if resources is not None:
            wanted = resources.bundles[0].items()
            what = " and ".join(f"{amount:g} {name}" for name, amount in wanted)
            self._note = f"no node has {what} to spare yet, which a trial needs; waiting"

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:  # noqa: ARG002
        if self._note is not None and self._assigner.has_begun:
            self._note = None
            self._session.say(None)
        elif self._note is not None and time.monotonic() - self._begun > _SAID_AFTER:
            self._session.say(self._note)
        self._session.tell_observer()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        self._assigner.process_died(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        self._assigner.process_died(trial)


def _cause(error: BaseException | None) -> NtmRayError | OSError | None:
    """What of ours lies under an exception that Ray Tune raised, if anything does."""
    while error is not None and not isinstance(error, NtmRayError | OSError):
        error = error.__cause__ or error.__context__
    return error
