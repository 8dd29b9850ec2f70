"""Ray Tune's own Searchers and TrialSchedulers, handed over as they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    ResourceChangingScheduler,
    TrialScheduler,
)
from ray.tune.schedulers.pb2 import PB2
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.search.hyperopt import HyperOptSearch
from ray.tune.search.optuna import OptunaSearch

from ntm_ray.errors import JobError
from ntm_ray.testing import SchedulerContract, SearchAlgorithmContract
from ntm_ray.testing.spaces import EVERYTHING
from ntm_ray.tuning import TuningJob
from ntm_ray.tuning.schedulers import Decision, Leg
from ntm_ray.tuning.schedulers.ray_scheduler import RayScheduler
from ntm_ray.tuning.search import Observation
from ntm_ray.tuning.search.ray_searcher import RaySearcher
from ntm_ray.tuning.trial_record import OBJECTIVE

if TYPE_CHECKING:
    from pathlib import Path

    from ntm_ray.tuning.space import SearchSpace


def fifo() -> FIFOScheduler:
    return FIFOScheduler()  # type: ignore[no-untyped-call]


class TestHyperOptSearch(SearchAlgorithmContract):
    @staticmethod
    def factory(space: SearchSpace, seed: int) -> RaySearcher:
        return RaySearcher(HyperOptSearch(random_state_seed=seed), space, seed)


class TestOptunaSearch(SearchAlgorithmContract):
    # Optuna goes over all it knows for every proposal.
    test_a_proposal_costs_no_more_after_a_thousand_results_than_after_a_hundred = None  # type: ignore[assignment]

    @staticmethod
    def factory(space: SearchSpace, seed: int) -> RaySearcher:
        return RaySearcher(OptunaSearch(seed=seed), space, seed)


class TestASHAScheduler(SchedulerContract):
    @staticmethod
    def factory(max_epochs: int, space: SearchSpace, seed: int) -> RayScheduler:
        scheduler = ASHAScheduler(max_t=max(max_epochs, 2), grace_period=1, brackets=2)
        return RayScheduler(scheduler, max_epochs, space, seed)


class TestFIFOScheduler(SchedulerContract):
    @staticmethod
    def factory(max_epochs: int, space: SearchSpace, seed: int) -> RayScheduler:
        return RayScheduler(fifo(), max_epochs, space, seed)


class TestMedianStoppingRule(SchedulerContract):
    # Ray's goes over all trials for every decision.
    test_a_decision_costs_no_more_after_a_thousand_trials_than_after_a_hundred = None  # type: ignore[assignment]

    @staticmethod
    def factory(max_epochs: int, space: SearchSpace, seed: int) -> RayScheduler:
        scheduler = MedianStoppingRule(time_attr="training_iteration", grace_period=1)
        return RayScheduler(scheduler, max_epochs, space, seed)


class TestMedianStoppingRuleThatPauses(TestMedianStoppingRule):
    @staticmethod
    def factory(max_epochs: int, space: SearchSpace, seed: int) -> RayScheduler:
        scheduler = MedianStoppingRule(
            time_attr="training_iteration", grace_period=1, hard_stop=False
        )
        return RayScheduler(scheduler, max_epochs, space, seed)


class Listening(Searcher):
    """Proposes the middle of what it was given, and writes down what it is told."""

    def __init__(self, **answers: Any) -> None:
        super().__init__()
        self.domains: dict[str, Any] = {}
        self.heard: list[tuple[Any, ...]] = []
        self._answers = answers

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        assert not spec
        self._metric, self._mode, self.domains = metric, mode, config
        return True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        self.heard.append(("suggest", trial_id))
        drawn = {name: domain.sample() for name, domain in self.domains.items()}
        return drawn | self._answers

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.heard.append(("result", trial_id, result["training_iteration"], result[OBJECTIVE]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.heard.append(("complete", trial_id, result and result[OBJECTIVE], error))

    def add_evaluated_point(self, parameters: dict[str, Any], value: float, **_: Any) -> None:  # type: ignore[override]
        self.heard.append(("point", parameters, value))


def complaint(**fields: Any) -> str:
    with pytest.raises(JobError) as caught:
        TuningJob(**fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Searchers


def test_a_searcher_is_given_the_space_flat_and_what_is_not_active_is_dropped() -> None:
    searcher = Listening(optimizer="sgd", **{"weight_decay used": False})
    algorithm = RaySearcher(searcher, EVERYTHING, 0)
    assert set(searcher.domains) == {
        "optimizer",
        "batch_norm",
        "encoder_layers optimizer=adam",
        "learning_rate optimizer=adam",
        "learning_rate optimizer=sgd",
        "mini_batch_size",
        "num_patience_epochs optimizer=sgd,adadelta",
        "rescale_gradient",
        "weight_decay used",
        "weight_decay",
    }
    drawn = algorithm.propose("0000")
    assert EVERYTHING.contains(drawn)
    assert drawn["optimizer"] == "sgd"
    assert drawn["weight_decay"] == 0
    assert "encoder_layers" not in drawn


def test_both_ends_of_an_integer_range_are_handed_over() -> None:
    searcher = Listening()
    RaySearcher(searcher, EVERYTHING, 0)
    domain = searcher.domains["num_patience_epochs optimizer=sgd,adadelta"]
    assert {domain.sample() for _ in range(100)} == {2, 3, 4}


def test_a_searcher_is_told_rungs_and_ends_and_a_finite_worst_for_what_diverged() -> None:
    searcher = Listening()
    algorithm = RaySearcher(searcher, EVERYTHING, 0)
    drawn = algorithm.propose("0000")
    algorithm.tell("0000", Observation(drawn, 3, 6.5, finished=False))
    algorithm.tell("0000", Observation(drawn, 5, math.inf, finished=True))
    assert searcher.heard == [
        ("suggest", "0000"),
        ("result", "0000", 3, 6.5),
        ("complete", "0000", 1e9, False),
    ]


def test_what_a_searcher_did_not_propose_is_told_to_it_as_a_point_at_the_end() -> None:
    searcher = Listening()
    algorithm = RaySearcher(searcher, EVERYTHING, 0)
    chosen = EVERYTHING.sample(np.random.default_rng(1))
    algorithm.adopt("0000", chosen)
    algorithm.tell("0000", Observation(chosen, 3, 6.5, finished=False))
    algorithm.tell("0000", Observation(chosen, 9, 6.2, finished=True))
    assert [heard[0] for heard in searcher.heard] == ["suggest", "complete", "point"]
    assert searcher.heard[1] == ("complete", "0000", None, True)
    _, point, loss = searcher.heard[2]
    assert set(point) == set(searcher.domains)
    assert loss == 6.2


def test_hyperopt_learns_from_what_it_is_told() -> None:
    """It is worse without: the same searcher, told nothing but the same loss for everything."""
    losses = []
    for learns in (True, False):
        algorithm = RaySearcher(HyperOptSearch(random_state_seed=1), EVERYTHING, 1)
        found = []
        for number in range(60):
            drawn = algorithm.propose(f"{number:04d}")
            loss = float(drawn["rescale_gradient"])
            found.append(loss)
            seen = Observation(drawn, 9, loss if learns else 6.0, finished=True)
            algorithm.tell(f"{number:04d}", seen)
        losses.append(float(np.mean(found[-20:])))
    assert losses[0] < losses[1] - 0.1


def test_a_searcher_that_has_served_or_waits_or_has_a_metric_is_refused_in_one_line() -> None:
    served = HyperOptSearch()
    RaySearcher(served, EVERYTHING, 0)
    assert "has served a job; make a new one" in complaint(search=served)
    assert "has a metric already" in complaint(search=HyperOptSearch(metric="loss", mode="min"))
    assert "inside of Ray's ConcurrencyLimiter" in complaint(
        search=ConcurrencyLimiter(HyperOptSearch(), max_concurrent=2)
    )
    assert "a Searcher of Ray Tune's is wanted" in complaint(search=ASHAScheduler())
    assert "a Searcher of Ray Tune's is wanted" in complaint(search=3)


def test_a_searcher_that_cannot_take_the_space_says_so_in_one_line() -> None:
    class OnlyNumbers(Listening):
        def set_search_properties(self, *_: Any, **__: Any) -> bool:
            raise ValueError("no categories\nplease")

    with pytest.raises(JobError, match="Ray's OnlyNumbers cannot take the space: no categories p"):
        RaySearcher(OnlyNumbers(), EVERYTHING, 0)


# Schedulers


def test_a_scheduler_hears_of_every_epoch() -> None:
    assert RayScheduler(ASHAScheduler(), 9, EVERYTHING, 0).rungs == tuple(range(1, 9))


def test_rays_asha_decides_as_it_does_in_ray() -> None:
    scheduler = RayScheduler(
        ASHAScheduler(max_t=27, grace_period=1, reduction_factor=3), 27, EVERYTHING, 0
    )
    decided = []
    for number, loss in enumerate([6.0, 6.5, 5.0, 7.0]):
        scheduler.begin(f"{number:04d}", {})
        decided.append(scheduler.decide(f"{number:04d}", 1, loss))
    # Worse than the best third of those before it, interpolated, is stopped.
    go_on, stop = Decision.CONTINUE, Decision.STOP
    assert decided == [go_on, stop, go_on, stop]


def test_a_trial_that_ray_pauses_goes_on_when_there_are_no_new_ones() -> None:
    rule = MedianStoppingRule(
        time_attr="training_iteration", grace_period=1, min_samples_required=1, hard_stop=False
    )
    scheduler = RayScheduler(rule, 9, EVERYTHING, 0)
    assert scheduler.pauses
    for trial in ("0000", "0001"):
        scheduler.begin(trial, {})
    assert scheduler.decide("0000", 1, 6.0) is Decision.CONTINUE
    assert scheduler.decide("0001", 1, 7.0) is Decision.PAUSE
    assert scheduler.next_leg(exhausted=False) is None
    assert scheduler.next_leg(exhausted=True) == Leg("0001")
    assert scheduler.next_leg(exhausted=True) is None


@pytest.mark.parametrize(
    ("scheduler", "instead"),
    [
        (HyperBandScheduler(), "use scheduler: hyperband"),
        (HyperBandForBOHB(), "use scheduler: hyperband"),
        (
            PopulationBasedTraining(hyperparam_mutations={"learning_rate": [0.1, 0.2]}),
            "use scheduler: pbt",
        ),
        (PB2(hyperparam_bounds={"learning_rate": [0.1, 0.2]}), "use scheduler: pbt"),
        (ResourceChangingScheduler(), "use `slots` and `cpus_per_trial`"),
    ],
)
def test_a_scheduler_that_works_inside_of_ray_is_refused_in_one_line(
    scheduler: TrialScheduler, instead: str
) -> None:
    assert instead in complaint(scheduler=scheduler)


def test_a_scheduler_that_counts_seconds_or_has_a_metric_is_refused_in_one_line() -> None:
    assert "counts time_total_s; make it with" in complaint(scheduler=MedianStoppingRule())
    with_metric = ASHAScheduler(metric="loss", mode="min")
    assert "has a metric already" in complaint(scheduler=with_metric)


def test_a_scheduler_that_asks_more_of_the_controller_than_there_is_is_told_so() -> None:
    class Nosy(FIFOScheduler):
        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            tune_controller.pause_trial(trial)

    nosy = Nosy()  # type: ignore[no-untyped-call]
    scheduler = RayScheduler(nosy, 9, EVERYTHING, 0)
    with pytest.raises(JobError, match="Ray's Nosy asks for 'pause_trial' of Ray Tune's"):
        scheduler.begin("0000", {})


# The job


def test_a_job_file_names_an_object_and_says_in_one_line_that_it_cannot_hold_it(
    tmp_path: Path,
) -> None:
    job = TuningJob(search=HyperOptSearch(), scheduler=ASHAScheduler())
    assert str(job.search) == "Ray's HyperOptSearch"
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    written = yaml.safe_load(file.read_text())
    assert written["search"] == {
        "object": "ray.tune.search.hyperopt.hyperopt_search.HyperOptSearch"
    }
    with pytest.raises(JobError) as caught:
        TuningJob.read(file)
    message = str(caught.value)
    assert "HyperOptSearch was an object in Python, which a file cannot hold" in message
    assert "TuningJob.resume(folder, search=...)" in message
    assert "\n" not in message


def test_an_object_of_the_same_class_and_no_other_can_take_its_place(tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(TuningJob(search=HyperOptSearch(), scheduler="none").to_yaml())
    again = HyperOptSearch()
    job = TuningJob.read(file, {"search": again})
    assert getattr(job.search, "thing", None) is again
    with pytest.raises(JobError, match=r"begun with ray.*HyperOptSearch, not with ray.*Optuna"):
        TuningJob.read(file, {"search": OptunaSearch()})
    with pytest.raises(JobError, match="begun with 'none', and goes on with that"):
        TuningJob.read(file, {"search": again, "scheduler": fifo()})
