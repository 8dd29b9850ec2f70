"""What is told about a job while it runs."""

from __future__ import annotations

from typing import Any

from ntm_ray.tuning import OBJECTIVE, Progress, Status, TuningJob
from ntm_ray.tuning.engine import Engine


def rows_of(*losses: float) -> list[dict[str, Any]]:
    return [{"epoch": e, OBJECTIVE: loss, "seconds": 1.0} for e, loss in enumerate(losses, 1)]


def engine_at_work() -> Engine:
    """Of 5 trials: one finished at epoch 2 of 9, one stopped at 1, one diverged at 1, one runs."""
    job = TuningJob(corpus="synthetic", trials=5, hyperparameters={"epochs": 9}, search="random")
    engine = Engine(job, list[Any]().append)
    for _ in range(5):
        engine.next_trial()
    engine.report("defaults", rows_of(1.0, 1.0), stop_reason="early_stopping", saved_epoch=1)
    engine.report("0000", rows_of(6.0, 6.1), stop_reason="early_stopping", saved_epoch=1)
    engine.report("0001", rows_of(7.0), saved_epoch=1)
    engine.report("0002", [{"epoch": 1, OBJECTIVE: None, "seconds": 1.0}], stop_reason="diverged")
    engine.report("0003", rows_of(5.9), saved_epoch=1)
    return engine


def test_trials_and_epochs_are_counted_without_the_defaults_trial() -> None:
    progress = Progress.of(engine_at_work(), seconds=30.0, ended_before=0)
    assert (progress.trials, progress.running, progress.ended) == (5, 1, 3)
    assert progress.outcomes == {
        Status.FINISHED: 1,
        Status.STOPPED_EARLY: 1,
        Status.DIVERGED: 1,
    }
    assert progress.epochs_spent == 2 + 1 + 1 + 1
    assert progress.epochs_saved == 7 + 8 + 8


def test_the_best_so_far_is_told_with_its_configuration() -> None:
    engine = engine_at_work()
    progress = Progress.of(engine, seconds=30.0, ended_before=0)
    assert (progress.best_trial, progress.best_loss) == ("0003", 5.9)
    assert progress.best_configuration == engine.trials["0003"].configuration


def test_time_left_is_reckoned_from_the_trials_that_ended_in_this_session() -> None:
    engine = engine_at_work()
    assert Progress.of(engine, seconds=30.0, ended_before=0).seconds_left == 20.0
    assert Progress.of(engine, seconds=30.0, ended_before=2).seconds_left == 60.0
    assert Progress.of(engine, seconds=30.0, ended_before=3).seconds_left is None


def test_before_the_first_report_there_is_no_best_and_no_time_left() -> None:
    job = TuningJob(corpus="synthetic", trials=5)
    progress = Progress.of(Engine(job, list[Any]().append), seconds=1.0, ended_before=0)
    assert (progress.best_trial, progress.best_loss, progress.seconds_left) == (None, None, None)
    assert (progress.running, progress.epochs_spent, progress.epochs_saved) == (0, 0, 0)
