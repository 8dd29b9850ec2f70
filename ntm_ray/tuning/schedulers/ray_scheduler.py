"""A Ray Tune `TrialScheduler` as a scheduler.

What of Ray's can be handed over is what decides by results: `ASHAScheduler`
(`AsyncHyperBandScheduler`), `MedianStoppingRule`, `FIFOScheduler` and schedulers of one's own
like them. Those that reach into Ray Tune's controller, to pause, copy or resize trials by
themselves, cannot: `HyperBandScheduler`, `HyperBandForBOHB`, `PopulationBasedTraining`,
`PopulationBasedTrainingReplay`, `PB2` and `ResourceChangingScheduler`. A job has `hyperband` and
`pbt` of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial as RayTrial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    PopulationBasedTrainingReplay,
    ResourceChangingScheduler,
    TrialScheduler,
)

from ntm_ray.errors import JobError
from ntm_ray.tuning.handed_over import random_state
from ntm_ray.tuning.schedulers.scheduler import Decision, Leg
from ntm_ray.tuning.trial_record import OBJECTIVE

if TYPE_CHECKING:
    from ntm_ray.tuning.space import Configuration, SearchSpace

# What a diverged trial counts as. NaN and infinity upset the percentiles that Ray compares by.
DIVERGED_LOSS = 1e9
_CANNOT: dict[type[TrialScheduler], str] = {
    HyperBandScheduler: "scheduler: hyperband",
    PopulationBasedTraining: "scheduler: pbt",
    PopulationBasedTrainingReplay: "scheduler: pbt",
    ResourceChangingScheduler: "`slots` and `cpus_per_trial`",
}


class RayScheduler:
    """Hands results to a TrialScheduler of Ray's after every epoch, and takes its decisions."""

    def __init__(
        self,
        scheduler: TrialScheduler,
        max_epochs: int,
        space: SearchSpace,  # noqa: ARG002 - every scheduler is given it
        seed: int,
    ) -> None:
        """Tell the scheduler what is minimized.

        Raises:
            JobError: If it has a direction of its own.
        """
        self._name = f"Ray's {type(scheduler).__name__}"
        if not scheduler.set_search_properties(OBJECTIVE, "min"):
            raise JobError(
                f"scheduler: {self._name} has a mode already; make a new one without, the job "
                "hands its own over"
            )
        # Which epochs it compares at is its own affair.
        self.rungs = tuple(range(1, max_epochs))
        self.pauses = _may_pause(scheduler)
        self.takes_over = False
        self._scheduler: Any = scheduler  # which takes our trials for its own
        self._seed = seed
        self._trials: dict[str, _Trial] = {}
        self._controller = _Controller(self._name, self._trials)

    def begin(self, trial: str, configuration: Configuration) -> None:
        """Hand a new trial over."""
        self._trials[trial] = known = _Trial(trial, configuration)
        with random_state(self._seed, len(self._trials)):
            self._scheduler.on_trial_add(self._controller, known)

    def decide(self, trial: str, rung: int, loss: float) -> Decision:
        """Hand a result over; at the last rung, too, that the trial completes."""
        known = self._trials[trial]
        if rung <= known.epoch:
            return Decision.CONTINUE
        known.epoch = rung
        if known.status == RayTrial.TERMINATED:
            return Decision.STOP
        # Written so that NaN, too, becomes the worst.
        result = {
            OBJECTIVE: loss if loss < DIVERGED_LOSS else DIVERGED_LOSS,
            "training_iteration": rung,
            "trial_id": trial,
            "done": False,
        }
        known.status = RayTrial.RUNNING
        with random_state(self._seed, len(self._trials)):
            said = self._scheduler.on_trial_result(self._controller, known, result)
            known.last_result = result
            if said == TrialScheduler.STOP or rung == self.rungs[-1]:
                known.status = RayTrial.TERMINATED
                self._scheduler.on_trial_complete(self._controller, known, result)
        if said == TrialScheduler.PAUSE and known.status == RayTrial.RUNNING:
            known.status = RayTrial.PAUSED
            return Decision.PAUSE
        return Decision.STOP if said == TrialScheduler.STOP else Decision.CONTINUE

    def next_leg(self, *, exhausted: bool) -> Leg | None:
        """Let paused trials go on, the first first, when there are no new ones: Ray's order."""
        if exhausted:
            for trial in self._trials.values():
                if trial.status == RayTrial.PAUSED:
                    trial.status = RayTrial.RUNNING
                    return Leg(trial.trial_id)
        return None


def check_scheduler(scheduler: TrialScheduler) -> None:
    """See that a TrialScheduler can be handed over, before anything is.

    Raises:
        JobError: If it needs Ray's controller, counts anything but epochs, or has an objective
            of its own.
    """
    name = f"Ray's {type(scheduler).__name__}"
    for refused, instead in _CANNOT.items():
        if isinstance(scheduler, refused):
            raise JobError(
                f"scheduler: {name} moves trials about inside of Ray Tune and cannot be "
                f"handed over; use {instead}"
            )
    if scheduler.metric is not None:
        raise JobError(
            f"scheduler: {name} has a metric already, or has served a job; make a new one "
            "without, the job hands its own over"
        )
    time_attr = getattr(scheduler, "_time_attr", "training_iteration")
    if time_attr != "training_iteration":
        raise JobError(
            f"scheduler: {name} counts {time_attr}; make it with "
            "time_attr='training_iteration', which is epochs here"
        )


def _may_pause(scheduler: TrialScheduler) -> bool:
    if isinstance(scheduler, MedianStoppingRule):
        return not scheduler._hard_stop
    return type(scheduler) not in {FIFOScheduler, AsyncHyperBandScheduler}


class _Trial:
    """As much of Ray's Trial as a scheduler looks at."""

    def __init__(self, name: str, config: Configuration) -> None:
        self.trial_id = name
        self.config = config
        self.epoch = 0
        self.status = RayTrial.RUNNING
        self.last_result: dict[str, Any] = {}

    def is_finished(self) -> bool:
        """Whether it has ended."""
        return bool(self.status == RayTrial.TERMINATED)

    def __str__(self) -> str:
        return self.trial_id


class _Controller:
    """As much of Ray's controller as can be had: which trials there are."""

    def __init__(self, name: str, trials: dict[str, _Trial]) -> None:
        self._name = name
        self._trials = trials

    def get_trials(self) -> list[_Trial]:
        """All trials so far."""
        return list(self._trials.values())

    def get_live_trials(self) -> list[_Trial]:
        """Those that have not ended."""
        return [trial for trial in self._trials.values() if not trial.is_finished()]

    def __getattr__(self, name: str) -> Any:
        raise JobError(
            f"scheduler: {self._name} asks for {name!r} of Ray Tune's controller and cannot be "
            "handed over; use one of ntm-ray list schedulers"
        )
