"""What every scheduler must keep to."""

from __future__ import annotations

import json
import math
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from ntm_ray.testing.cost import median_seconds
from ntm_ray.testing.spaces import EVERYTHING, made_up_loss
from ntm_ray.tuning import OBJECTIVE, Status, TuningJob
from ntm_ray.tuning.engine import Engine
from ntm_ray.tuning.schedulers import Decision, Scheduler
from ntm_ray.tuning.trial_record import DEFAULTS_TRIAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntm_ray.tuning.journal import Event
    from ntm_ray.tuning.space import Configuration
    from ntm_ray.tuning.trial_record import EpochRow, Trial

MAX_EPOCHS = 27
# What the weights that a trial may take over were made for.
SHAPE = ("num_topics", "encoder_layers", "batch_norm")
# A cost that grows with the number of trials grows tenfold from 100 to 1,000.
MOST_GROWTH = 4.0
NEGLIGIBLE_SECONDS = 0.0005


class SchedulerContract:
    """Subclass it, under a name that begins with `Test`, and set `factory`.

    Attributes:
        factory: Called as `factory(max_epochs, space, seed)`: the class of the scheduler, or a
            function that makes one.
    """

    factory: ClassVar[Callable[..., Any]]

    def make(self, max_epochs: int = MAX_EPOCHS, seed: int = 1) -> Scheduler:
        """Make one to test."""
        scheduler: Scheduler = type(self).factory(max_epochs, EVERYTHING, seed)
        return scheduler

    @pytest.mark.parametrize("max_epochs", [1, 2, 3, 27, 50])
    def test_rungs_are_rising_epochs_below_the_last(self, max_epochs: int) -> None:
        rungs = self.make(max_epochs).rungs
        assert list(rungs) == sorted(set(rungs))
        assert all(isinstance(rung, int) and 1 <= rung < max_epochs for rung in rungs)

    @pytest.mark.parametrize("slots", [1, 4])
    @pytest.mark.parametrize("max_epochs", [1, 2, MAX_EPOCHS])
    def test_every_trial_comes_to_an_end(self, max_epochs: int, slots: int) -> None:
        engine, _ = _carried_out(self.make(max_epochs), slots=slots, max_epochs=max_epochs)
        assert engine.is_finished
        assert all(trial.ended for trial in engine.trials.values())
        assert engine.best is not None

    def test_the_same_reports_lead_to_the_same_decisions(self) -> None:
        one, other = (_carried_out(self.make(seed=3), slots=4)[0] for _ in range(2))
        assert _outcome(one) == _outcome(other)

    def test_it_pauses_and_takes_over_only_if_it_says_so(self) -> None:
        scheduler = self.make()
        _, journal = _carried_out(scheduler, slots=2)
        legs = [event for event in journal if event["event"] == "leg"]
        assert scheduler.pauses or not legs
        assert scheduler.takes_over or not any(leg["source"] for leg in legs)

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
    def test_a_resumed_job_goes_on_as_if_it_had_not_been_cut(self, part: float) -> None:
        whole, journal = _carried_out(self.make())
        known: list[Event] = json.loads(json.dumps(journal[: int(len(journal) * part)]))
        resumed, _ = _carried_out(self.make(), known=known)
        assert _outcome(resumed) == _outcome(whole)

    def test_what_trials_go_on_with_keeps_to_the_space_and_to_the_network(self) -> None:
        engine, journal = _carried_out(self.make(), slots=2)
        now: dict[str, Configuration] = {}
        for event in journal:
            if event["event"] == "trial" and event["trial"] != DEFAULTS_TRIAL:
                now[event["trial"]] = event["configuration"]
            elif event["event"] == "leg" and event["configuration"] is not None:
                assert EVERYTHING.contains(event["configuration"])
                was = now[event["source"] or event["trial"]]
                assert _shape(event["configuration"]) == _shape(was)
                now[event["trial"]] = event["configuration"]
        assert {trial.name: trial.configuration for trial in engine.searched} == now

    def test_a_rung_asked_about_again_enters_nothing_and_lets_the_trial_go_on(self) -> None:
        scheduler = self.make()
        for rung in scheduler.rungs[:1]:
            scheduler.begin("0000", {})
            scheduler.decide("0000", rung, 6.0)
            for _ in range(5):
                assert scheduler.decide("0000", rung, 9.0) is Decision.CONTINUE

    def test_trials_that_diverged_stop_no_sound_one(self) -> None:
        scheduler = self.make()
        for rung in scheduler.rungs[:1]:
            for number in range(5):
                scheduler.begin(f"{number:04d}", {})
                scheduler.decide(f"{number:04d}", rung, math.inf)
            scheduler.begin("0005", {})
            assert scheduler.decide("0005", rung, 6.0) is not Decision.STOP

    def test_who_is_the_best_at_every_rung_is_never_stopped(self) -> None:
        scheduler = self.make()
        others = [f"{number:04d}" for number in range(20)]
        for trial in [*others, "0020"]:
            scheduler.begin(trial, {})
        for rung in scheduler.rungs:
            for number, trial in enumerate(others):
                scheduler.decide(trial, rung, 7.0 + number / 10 + 1 / rung)
            assert scheduler.decide("0020", rung, 6.0 + 1 / rung) is not Decision.STOP

    def test_a_decision_costs_no_more_after_a_thousand_trials_than_after_a_hundred(self) -> None:
        early, late = self._seconds_for_more_trials(100), self._seconds_for_more_trials(1000)
        assert late <= MOST_GROWTH * max(early, NEGLIGIBLE_SECONDS), (early, late)

    def _seconds_for_more_trials(self, trials: int) -> float:
        scheduler = self.make()

        def train(more: int) -> None:
            nonlocal trials
            for number in range(trials, trials + more):
                self._train(scheduler, number)
            trials += more

        known, trials = trials, 0
        train(known)
        # Few, so that a hundred trials stay about a hundred.
        return median_seconds(lambda: train(10))

    def _train(self, scheduler: Scheduler, number: int) -> None:
        trial = f"{number:04d}"
        scheduler.begin(trial, {})
        for rung in scheduler.rungs:
            loss = 6.0 + number * 0.618 % 1 + 1 / rung
            if scheduler.decide(trial, rung, loss) is not Decision.CONTINUE:
                break
        scheduler.next_leg(exhausted=False)


def _carried_out(
    scheduler: Scheduler,
    *,
    slots: int = 1,
    max_epochs: int = MAX_EPOCHS,
    known: list[Event] | None = None,
) -> tuple[Engine, list[Event]]:
    """Carry a job of made-up trainings out, or on, with the engine that carries out real ones."""
    job = TuningJob(
        corpus="synthetic",
        hyperparameters={"num_topics": 5, "epochs": max_epochs, "num_patience_epochs": 99},
        search_space=EVERYTHING,
        search="random",
        trials=20,
        seed=2,
    )
    journal = list(known or [])
    engine = Engine(job, journal.append)
    engine.scheduler = scheduler
    engine.resume(list(journal))
    running: deque[_Training] = deque()
    # Each report brings a trial at least an epoch further, but for what comes again after a cut.
    for _ in range(40 * max_epochs):
        while len(running) < slots and (trial := engine.next_trial()):
            running.append(_Training(trial, max_epochs, scheduler.rungs))
        if not running:
            return engine, journal
        training = running.popleft()
        if training.fails:
            engine.fail(training.name, "made up")
        elif engine.report(training.name, **training.step()) is Decision.CONTINUE:
            running.append(training)
    pytest.fail(f"the job does not end; running: {[one.name for one in running]}")


class _Training:
    """A made-up training: its losses depend on nothing but its settings, its seed and epoch."""

    def __init__(self, trial: Trial, max_epochs: int, rungs: tuple[int, ...]) -> None:
        self.name = trial.name
        number = int(trial.name) if trial.name != DEFAULTS_TRIAL else 0
        self._end, self._reason = {3: (5, "early_stopping"), 6: (4, "diverged")}.get(
            number % 7, (max_epochs, "epochs")
        )
        if self._end >= max_epochs:
            self._end, self._reason = max_epochs, "epochs"
        self._floor = made_up_loss(trial.configuration) + trial.seed % 100 / 1000
        self._rungs = rungs
        self._rows = [dict(row) for row in trial.curve]
        self._epoch = trial.goes_on_from[1] if trial.goes_on_from else 0
        self.fails = number % 7 == 5 and self._epoch == 0

    def step(self) -> dict[str, Any]:
        """Train to the next rung or the end."""
        rows: list[EpochRow] = []
        while not rows or (self._epoch not in self._rungs and self._epoch < self._end):
            self._epoch += 1
            diverged = self._epoch == self._end and self._reason == "diverged"
            loss = None if diverged else self._floor + 1 / self._epoch
            rows.append({"epoch": self._epoch, OBJECTIVE: loss, "seconds": 0.5})
        ended = self._epoch >= self._end
        return {
            "rows": rows,
            "stop_reason": self._reason if ended else None,
            "saved_epoch": self._epoch - (rows[-1][OBJECTIVE] is None),
        }


def _outcome(engine: Engine) -> dict[str, tuple[Configuration, Status, list[Any]]]:
    return {
        trial.name: (trial.configuration, trial.status, trial.curve)
        for trial in engine.trials.values()
    }


def _shape(configuration: Configuration) -> dict[str, Any]:
    return {name: configuration[name] for name in SHAPE if name in configuration}
