"""A private Ray on this machine, which starts while the corpus is still being read."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ntm_ray.tuning.job import TuningJob

_ENVIRONMENT = {
    # Ray's own loggers cost the driver time at each report; the job folder has the results.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The journal is what a job is resumed from.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The newer output engine prints a box even when it is told to be silent.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_WHAT_SLOTS_NEED = "ntm_ray.tuning.trial"


class LocalRay:
    """A private Ray; made by `local_ray`. What it logs is held back until it is told where to.

    A thread starts it, stays, and ends it: Linux kills Ray's processes when the thread that
    started them ends.
    """

    def __init__(self, slots: int, threads: int) -> None:
        self._slots = slots
        self._threads = threads
        self._log = logging.handlers.MemoryHandler(capacity=1)
        self._thread: threading.Thread | None = None
        self._has_started = threading.Event()
        self._is_to_stop = threading.Event()
        self._error: Exception | None = None

    def start(self) -> None:
        """Begin to start Ray in the background, unless that has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="Ray", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until Ray has started.

        Raises:
            Exception: What starting it has raised.
        """
        self.start()
        self._has_started.wait()
        if self._error is not None:
            raise self._error

    def log_to(self, file: Path) -> None:
        """Send what Ray has logged and will log to a file."""
        handler = logging.FileHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._log.setTarget(handler)
        self._log.flush()

    def stop(self) -> None:
        """End Ray, if it was started here."""
        if self._thread is not None:
            self._is_to_stop.set()
            self._thread.join()
        self._log.flush()
        if self._log.target is not None:
            self._log.target.close()

    def _live(self) -> None:
        try:
            import ray
        except ImportError as error:
            self._error = error
            self._has_started.set()
            return
        # Importing Ray gives its logger a handler of its own.
        logger = logging.getLogger("ray")
        before = logger.handlers, logger.propagate
        logger.handlers, logger.propagate = [self._log], False
        is_ours = not ray.is_initialized()
        try:
            if is_ours:
                self._start()
            self._has_started.set()
            self._is_to_stop.wait()
        except Exception as error:  # noqa: BLE001 - raised again by `wait`
            self._error = error
            self._has_started.set()
        finally:
            if is_ours:
                ray.shutdown()
            logger.handlers, logger.propagate = before

    def _start(self) -> None:
        import ray

        # "local", so that no RAY_ADDRESS in the environment joins a cluster by accident.
        ray.init(
            address="local",
            num_cpus=self._slots * self._threads,
            include_dashboard=False,
            log_to_driver=False,
            # Ray starts a process a CPU that waits for work. They import what slots need while
            # the driver is still busy; not if there are many more of them than slots.
            _system_config={"preload_python_modules": [_WHAT_SLOTS_NEED]}
            if self._threads == 1
            else None,
        )


@contextlib.contextmanager
def local_ray(job: TuningJob) -> Iterator[LocalRay]:
    """A private Ray on this machine, without dashboard, that is ended when the block ends.

    It starts when it is told to. A Ray that the program has started already is used as it is,
    and left running.
    """
    local = LocalRay(job.slots, job.threads)
    with _environment(_ENVIRONMENT):
        try:
            yield local
        finally:
            local.stop()


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
