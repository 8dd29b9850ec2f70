"""The Ray that a job runs on: a private one on this machine, or a cluster that is there already.

It starts, or is joined, while the corpus is still being read.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import logging.handlers
import math
import os
import platform
import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntm_ray.errors import JobError
from ntm_ray.tuning.head_watch import knock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ntm_ray.tuning.job import TuningJob

_ENVIRONMENT = {
    # Ray's own loggers cost the driver time at each report; the job folder has the results.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The journal is what a job is resumed from.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # Trials that wait for a node are none of Ray Tune's business; the display says so.
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",
    # The newer output engine prints a box even when it is told to be silent.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
# A private Ray has a token of its own, which no file holds: Ray itself would write one that
# others can read. One a process, since Ray remembers it.
_OWN_TOKEN = secrets.token_hex(32)
_WHAT_SLOTS_NEED = "ntm_ray.tuning.trial"
# Ray itself tries for two minutes to reach a head that is not there, and then ends the process.
_CONNECT_SECONDS = 5.0


class RayConnection:
    """A Ray to work on; made by `ray_for`. What it logs is held back until it is told where to.

    A thread starts it, stays, and ends it: Linux kills Ray's processes when the thread that
    started them ends.
    """

    def __init__(self, job: TuningJob, address: str | None) -> None:
        self._job = job
        self._address = address
        self._log = logging.handlers.MemoryHandler(capacity=1)
        self._thread: threading.Thread | None = None
        self._has_started = threading.Event()
        self._is_to_stop = threading.Event()
        self._error: Exception | None = None

    @property
    def is_cluster(self) -> bool:
        """Whether it is a cluster that was there before, and may grow and shrink."""
        return self._address is not None

    @property
    def head(self) -> str:
        """Address of the head's GCS, ``host:port``, once connected."""
        import ray

        return str(ray.get_runtime_context().gcs_address)

    def start(self) -> None:
        """Begin to start Ray in the background, unless that has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="Ray", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until Ray has started.

        Raises:
            JobError: The cluster cannot be joined.
            Exception: What starting a private Ray has raised.
        """
        self.start()
        # In slices, since a wait without an end does not hear Ctrl-C.
        while not self._has_started.wait(0.1):
            pass
        if self._error is not None:
            raise self._error

    def log_to(self, file: Path) -> None:
        """Send what Ray has logged and will log to a file."""
        handler = logging.FileHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._log.setTarget(handler)
        self._log.flush()

    def stop(self) -> None:
        """End Ray, or leave the cluster, if that was begun here."""
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
        worker: Any = importlib.import_module("ray._private.worker")
        printing = worker.print_to_stdstream
        try:
            if is_ours:
                worker.print_to_stdstream = _log
                _read_token_again()
                if self._address is None:
                    self._start()
                else:
                    _join(self._address)
            self._has_started.set()
            self._is_to_stop.wait()
        except Exception as error:  # noqa: BLE001 - raised again by `wait`
            self._error = error
            self._has_started.set()
        finally:
            if is_ours:
                ray.shutdown()
                worker.print_to_stdstream = printing
            logger.handlers, logger.propagate = before

    def _start(self) -> None:
        import ray

        job = self._job
        ray.init(
            # "local", so that no RAY_ADDRESS in the environment joins a cluster by accident.
            address="local",
            num_cpus=math.ceil(job.slots * job.cpus_per_trial),
            include_dashboard=False,
            log_to_driver=False,
            # Ray starts a process a CPU that waits for work. They import what slots need while
            # the driver is still busy; not if there are many more of them than slots.
            _system_config={"preload_python_modules": [_WHAT_SLOTS_NEED]}
            if job.cpus_per_trial == 1
            else None,
        )


@contextlib.contextmanager
def ray_for(job: TuningJob, address: str | None = None) -> Iterator[RayConnection]:
    """Ray for one job, ended or left when the block ends; it starts when it is told to.

    Args:
        job: The job, for its slots.
        address: A cluster to join: ``auto`` for the one that this machine belongs to, or
            ``host:port`` of its head, 6379 as a rule. None: a private Ray on this machine,
            whatever RAY_ADDRESS says; without dashboard, and with a token that only its processes
            know. A Ray that the program has started already is used as it is, and left running.

    Raises:
        JobError: The address is of another kind.
    """
    if address is not None:
        address = _checked(address)
    variables = _ENVIRONMENT | (_private_token() if address is None else _token_of_the_user())
    with _environment(variables):
        connection = RayConnection(job, address)
        try:
            yield connection
        finally:
            connection.stop()


def _checked(address: str) -> str:
    if address.startswith("ray://"):
        raise JobError(
            f"address {address!r}: Ray Client does not survive a lost connection; "
            "`ntm-ray submit` runs a job from outside of the cluster"
        )
    if re.match(r"https?://", address):
        raise JobError(
            f"address {address!r}: that is a dashboard, for `ntm-ray submit`; to be the driver, "
            "give auto on a machine of the cluster, or HOST:PORT of the head, 6379 as a rule"
        )
    if address == "auto":
        return os.environ.get("RAY_ADDRESS") or address
    if not re.fullmatch(r"[^\s/]+:\d{1,5}", address):
        raise JobError(f"address {address!r}: auto or HOST:PORT is wanted")
    return address


def _join(address: str) -> None:
    import ray

    if address != "auto":
        try:
            knock(address, _CONNECT_SECONDS)
        except OSError as error:
            raise JobError(
                f"address {address!r}: no Ray answers there ({error.strerror or error}); is the "
                "head up, and is that the address `ray start --head` printed?"
            ) from None
    try:
        ray.init(address=address, log_to_driver=False)
    except ConnectionError as error:
        if address != "auto":  # somebody listens there, as was seen above
            raise JobError(_about_token(address, str(error))) from None
        raise JobError(
            f"address {address!r}: no Ray cluster to join; start one with "
            "`ray start --head`, or leave --address out for a private Ray"
        ) from None
    except ray.exceptions.AuthenticationError as error:
        raise JobError(_about_token(address, str(error))) from None
    except RuntimeError as error:
        raise _about_versions(address, str(error)) or error from None


def _log(data: dict[str, Any], ignore_prefix: bool) -> None:  # noqa: ARG001
    """Log what Ray would print, whatever it is told: of processes that died, for one."""
    logging.getLogger("ray").warning("%s", " ".join(data["lines"]))


def _about_token(address: str, said: str) -> str:
    has_one = os.environ.get(_MODE) == "token" and "No authentication token" not in said
    what = "the cluster does not take this token" if has_one else "the cluster wants a token"
    return (
        f"address {address!r}: {what}; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a "
        "copy of the head's token file (`ray get-auth-token` prints it there)"
    )


def _about_versions(address: str, said: str) -> JobError | None:
    """Ray's own words on versions, which go over ten lines, in one."""
    if "ersion mismatch" not in said:
        return None
    import ray

    found = re.search(r"Ray: (\S+)\s+Python: (\S+)", said)
    theirs = f"Ray {found[1]} and Python {found[2]}" if found else "other versions"
    return JobError(
        f"address {address!r}: the cluster has {theirs}, this process Ray {ray.__version__} and "
        f"Python {platform.python_version()}; they must be the same"
    )


def _private_token() -> dict[str, str]:
    """The environment of a private Ray, unless the user has said how it is to be."""
    mode = os.environ.get(_MODE)
    if mode and (mode.lower() != "token" or _has_token()):
        return {}
    return {_MODE: "token", _TOKEN: _OWN_TOKEN}


def _token_of_the_user() -> dict[str, str]:
    """Who has a token means to show it; Ray does so only where the mode is said too."""
    return {_MODE: "token"} if _has_token() and not os.environ.get(_MODE) else {}


def _has_token() -> bool:
    file = Path.home() / ".ray" / "auth_token"
    return bool(os.environ.get(_TOKEN) or os.environ.get(_TOKEN_PATH)) or file.is_file()


def _read_token_again() -> None:
    """Have Ray forget mode and token of an earlier connection of this process."""
    raylet: Any = importlib.import_module("ray._raylet")  # not typed, and not all of it public
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


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
