"""Search algorithms: what each must keep to, and what TPE must be good for."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntm_ray.errors import JobError
from ntm_ray.model import Hyperparameters
from ntm_ray.testing.spaces import EVERYTHING
from ntm_ray.tuning import SEARCH_ALGORITHMS, SearchSpace
from ntm_ray.tuning.search import Observation, SearchAlgorithm, create_search_algorithm
from ntm_ray.tuning.search.tpe import RESULTS_FOR_A_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntm_ray.tuning.space import Configuration

    Loss = Callable[[Configuration], float]

# The others are held to ntm_ray.testing alone.
ALGORITHMS = ["random", "tpe"]
RATE_ALONE = SearchSpace.parse(
    {
        "name": "rate",
        "parameters": [
            {
                "name": "learning_rate",
                "type": "continuous",
                "min": 1e-4,
                "max": 0.1,
                "scaling": "logarithmic",
            },
            {"name": "rescale_gradient", "type": "continuous", "min": 0.1, "max": 1.0},
        ],
    },
    "rate",
)


def toy_loss(configuration: Configuration) -> float:
    """Least, 6, for adam at a learning rate of 0.01, in batches of 20, without weight decay."""
    rate = float(configuration.get("learning_rate", 1e-6))
    return (
        6.0
        + abs(math.log10(rate) + 2)
        + (configuration["optimizer"] != "adam")
        + abs(math.log(float(configuration["mini_batch_size"]) / 20)) / 2
        + (configuration["weight_decay"] != 0)
    )


def end(algorithm: SearchAlgorithm, trial: str, drawn: Configuration, loss: float) -> None:
    algorithm.tell(trial, Observation(drawn, 1, loss, finished=False))
    algorithm.tell(trial, Observation(drawn, 9, loss, finished=True))


def search(
    name: str, space: SearchSpace, loss: Loss, trials: int, seed: int
) -> list[tuple[Configuration, float]]:
    """Configurations and losses of a search by one slot."""
    algorithm = create_search_algorithm(name, space, seed)
    found = []
    for number in range(trials):
        drawn = algorithm.propose(f"{number:04d}")
        found.append((drawn, loss(drawn)))
        end(algorithm, f"{number:04d}", *found[-1])
    return found


@pytest.mark.parametrize("name", ALGORITHMS)
def test_proposals_keep_to_the_space_and_its_conditions(name: str) -> None:
    drawn = [configuration for configuration, _ in search(name, EVERYTHING, toy_loss, 40, 1)]
    for configuration in drawn:
        assert EVERYTHING.contains(configuration), configuration
        Hyperparameters.parse({"feature_dim": 10, "num_topics": 5} | configuration)
    assert {d["optimizer"] for d in drawn} == {"adam", "sgd", "adadelta"}
    assert {d["weight_decay"] == 0 for d in drawn} == {True, False}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_proposal_survives_json_unchanged_in_value_and_type(name: str) -> None:
    for drawn, _ in search(name, EVERYTHING, toy_loss, 20, 2):
        back = json.loads(json.dumps(drawn))
        assert back == drawn
        assert [type(v) for v in back.values()] == [type(v) for v in drawn.values()]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_same_seed_proposes_the_same_and_another_seed_something_else(name: str) -> None:
    assert search(name, EVERYTHING, toy_loss, 20, 3) == search(name, EVERYTHING, toy_loss, 20, 3)
    assert search(name, EVERYTHING, toy_loss, 3, 3) != search(name, EVERYTHING, toy_loss, 3, 4)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_global_random_state_is_neither_used_nor_touched(name: str) -> None:
    np.random.seed(1)  # noqa: NPY002 - the global state is what is looked at
    one = search(name, EVERYTHING, toy_loss, 15, 3)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002
    assert search(name, EVERYTHING, toy_loss, 15, 3) == one


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("adopted", [1, RESULTS_FOR_A_MODEL - 1, RESULTS_FOR_A_MODEL, 18])
def test_adopting_in_place_of_proposing_leads_to_the_same_later_proposals(
    name: str, adopted: int
) -> None:
    proposed = search(name, EVERYTHING, toy_loss, 20, 5)
    algorithm = create_search_algorithm(name, EVERYTHING, 5)
    for number, (drawn, loss) in enumerate(proposed):
        trial = f"{number:04d}"
        if number < adopted:
            # As it comes back from a journal.
            algorithm.adopt(trial, json.loads(json.dumps(drawn)))
        else:
            assert algorithm.propose(trial) == drawn
        end(algorithm, trial, drawn, loss)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_many_pending_trials_and_trials_that_end_out_of_order_do_no_harm(name: str) -> None:
    algorithm = create_search_algorithm(name, EVERYTHING, 6)
    pending: dict[str, Configuration] = {}
    for number in range(40):
        trial = f"{number:04d}"
        pending[trial] = algorithm.propose(trial)
        assert EVERYTHING.contains(pending[trial])
        if number > 25:
            newest = list(pending)[-1 - number % 3]
            drawn = pending.pop(newest)
            end(algorithm, newest, drawn, toy_loss(drawn))


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("told", [0, 1, RESULTS_FOR_A_MODEL - 1])
def test_fewer_results_than_a_model_needs_are_enough_to_go_on(name: str, told: int) -> None:
    algorithm = create_search_algorithm(name, EVERYTHING, 7)
    for number in range(RESULTS_FOR_A_MODEL + 3):
        drawn = algorithm.propose(f"{number:04d}")
        assert EVERYTHING.contains(drawn)
        if number < told:
            end(algorithm, f"{number:04d}", drawn, toy_loss(drawn))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_where_all_trials_diverge_the_search_goes_on(name: str) -> None:
    found = search(name, EVERYTHING, lambda _: math.inf, 20, 8)
    assert all(EVERYTHING.contains(drawn) for drawn, _ in found)
    assert len({json.dumps(drawn) for drawn, _ in found}) == 20


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_space_in_which_everything_is_fixed_has_one_configuration(name: str) -> None:
    left = EVERYTHING.fixing({p.name: None for p in EVERYTHING.parameters})
    found = search(name, left, lambda _: 6.0, RESULTS_FOR_A_MODEL + 3, 9)
    assert all(drawn == {} for drawn, _ in found)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_first_proposals_reach_each_end_of_an_integer_range_with_its_fair_share(name: str) -> None:
    space = SearchSpace.parse(
        {
            "name": "sizes",
            "parameters": [
                {"name": "mini_batch_size", "type": "integer", "min": 1, "max": 3},
                {
                    "name": "num_patience_epochs",
                    "type": "integer",
                    "min": 1,
                    "max": 2,
                    "scaling": "logarithmic",
                },
            ],
        },
        "sizes",
    )
    draws: list[Configuration] = []
    for seed in range(60):
        algorithm = create_search_algorithm(name, space, seed)
        draws += [algorithm.propose(str(number)) for number in range(5)]
    counts = {size: sum(d["mini_batch_size"] == size for d in draws) for size in (1, 2, 3)}
    for count in counts.values():
        assert abs(count - 100) < 4 * math.sqrt(300 * 2 / 9), counts
    # On the logarithmic scale the smaller number has the larger share.
    ones = sum(d["num_patience_epochs"] == 1 for d in draws)
    assert 150 < ones < 270


def test_random_search_learns_nothing() -> None:
    one = [drawn for drawn, _ in search("random", EVERYTHING, toy_loss, 20, 10)]
    other = [drawn for drawn, _ in search("random", EVERYTHING, lambda d: -toy_loss(d), 20, 10)]
    assert one == other


def test_tpe_finds_a_clearly_lower_loss_than_random_search() -> None:
    margins = []
    for seed in range(5):
        best = {
            name: min(loss for _, loss in search(name, EVERYTHING, toy_loss, 50, seed))
            for name in ("random", "tpe")
        }
        margins.append(best["random"] - best["tpe"])
    assert np.median(margins) > 0.1, margins
    assert np.mean(margins) > 0.1, margins


def with_rungs(
    losses: dict[int, Loss],
    trials: int = 60,
    seed: int = 11,
    shift: dict[int, float] | None = None,
) -> list[Configuration]:
    """Proposals of TPE to trials that are told these losses at rungs; the better half goes on."""
    algorithm = create_search_algorithm("tpe", RATE_ALONE, seed)
    seen: dict[int, list[float]] = {rung: [] for rung in losses}
    drawn = []
    for number in range(trials):
        trial = f"{number:04d}"
        drawn.append(algorithm.propose(trial))
        for rung, loss in losses.items():
            value = loss(drawn[-1])
            seen[rung].append(value)
            value += (shift or {}).get(rung, 0)
            algorithm.tell(trial, Observation(drawn[-1], rung, value, finished=False))
            stopped = bool(seen[rung][-1] > np.median(seen[rung]))
            if stopped:
                break
        algorithm.tell(trial, Observation(drawn[-1], rung, value, finished=True, stopped=stopped))
    return drawn


def rate(configuration: Configuration) -> float:
    return math.log10(float(configuration["learning_rate"]))


def test_tpe_learns_at_the_highest_rung_that_enough_trials_have_reached() -> None:
    def early(drawn: Configuration) -> float:
        return float(drawn["rescale_gradient"])

    for best in (-3.5, -1.5):

        def late(drawn: Configuration, best: float = best) -> float:
            return abs(rate(drawn) - best)

        rates = [rate(drawn) for drawn in with_rungs({1: early, 9: late}, 80)[40:]]
        assert abs(np.median(rates) - best) < 0.4


def test_tpe_never_compares_losses_of_different_rungs() -> None:
    losses: dict[int, Loss] = {1: lambda d: abs(rate(d) + 2), 9: lambda d: abs(rate(d) + 3)}
    plain = with_rungs(losses)
    assert plain == with_rungs(losses, shift={1: -100.0})
    assert plain == with_rungs(losses, shift={9: 100.0})
    assert plain != with_rungs(losses | {9: lambda d: -abs(rate(d) + 3)})


def test_tpe_does_not_propose_where_trials_are_running_already() -> None:
    def distance(running: int) -> float:
        """How far from the best rate, 0.01, proposals are with so many running there."""
        algorithm = create_search_algorithm("tpe", RATE_ALONE, 2)
        generator = np.random.default_rng(0)
        for number in range(30):
            drawn = RATE_ALONE.sample(generator)
            algorithm.adopt(f"{number}", drawn)
            algorithm.tell(f"{number}", Observation(drawn, 9, abs(rate(drawn) + 2), finished=True))
        for number in range(running):
            algorithm.adopt(f"running {number}", {"learning_rate": 0.01, "rescale_gradient": 0.5})
        found = [abs(rate(algorithm.propose(f"new {number}")) + 2) for number in range(20)]
        return float(np.mean(found))

    assert distance(60) > 1.3 * distance(0)


@pytest.mark.parametrize("diverging_above", [1e-2, None])
def test_tpe_is_not_drawn_to_where_trials_diverge(diverging_above: float | None) -> None:
    """Ray's way, a loss that is NaN, has 45 to 50 of 50 proposals in the diverging third."""

    def loss(configuration: Configuration) -> float:
        rate = float(configuration["learning_rate"])
        diverges = diverging_above is not None and rate > diverging_above
        # As good at both ends of what trains, so that nothing else keeps TPE away.
        return math.inf if diverges else 6 + float(configuration["rescale_gradient"])

    landed = []
    for seed in range(3):
        found = search("tpe", RATE_ALONE, loss, RESULTS_FOR_A_MODEL + 50, seed)
        rates = [float(drawn["learning_rate"]) for drawn, _ in found[RESULTS_FOR_A_MODEL:]]
        landed.append(sum(rate > 1e-2 for rate in rates))
    if diverging_above is None:
        assert max(landed) > 10, "with nothing diverging there the region is not avoided"
    else:
        assert max(landed) <= 50 / 3, landed


def test_tpe_forgets_how_good_a_trial_was_at_a_rung_if_it_diverges_later() -> None:
    def drawn_to_high_rates(*, lost: bool) -> int:
        algorithm = create_search_algorithm("tpe", RATE_ALONE, 4)
        high = 0
        for number in range(60):
            trial = f"{number}"
            drawn = algorithm.propose(trial)
            # The higher the rate the better at the rung, and then, above 0.01, it diverges.
            algorithm.tell(trial, Observation(drawn, 3, -rate(drawn), finished=False))
            ends = math.inf if lost and rate(drawn) > -2 else -rate(drawn)
            stopped = math.isfinite(ends)
            algorithm.tell(
                trial, Observation(drawn, 4 - stopped, ends, finished=True, stopped=stopped)
            )
            high += number >= 20 and rate(drawn) > -2
        return high

    assert drawn_to_high_rates(lost=False) > 30
    assert drawn_to_high_rates(lost=True) < 20


def test_tpe_ranks_a_diverged_trial_below_the_worst_that_trained() -> None:
    def loss(configuration: Configuration) -> float:
        rate = float(configuration["learning_rate"])
        return math.inf if rate > 1e-2 else 1e6 + rate

    found = search("tpe", RATE_ALONE, loss, RESULTS_FOR_A_MODEL + 50, 1)
    assert sum(math.isinf(loss) for _, loss in found[RESULTS_FOR_A_MODEL:]) <= 50 / 3


def test_a_misspelt_search_algorithm_is_told_what_was_probably_meant() -> None:
    with pytest.raises(JobError, match="no search algorithm is called 'randm'; did you mean"):
        create_search_algorithm("randm", EVERYTHING, 0)


def test_every_listed_algorithm_says_in_a_line_what_it_is() -> None:
    summaries: dict[str, Any] = {name: SEARCH_ALGORITHMS[name].summary for name in ALGORITHMS}
    assert all(summary and "\n" not in summary for summary in summaries.values())


def test_tpe_counts_a_trial_that_ended_by_itself_at_a_rung_among_the_best() -> None:
    algorithm = create_search_algorithm("tpe", RATE_ALONE, 0)
    for number in range(30):
        drawn = algorithm.propose(f"{number}")
        # The best third end by patience at epoch 9, which is a rung; others train to the end.
        by_itself = number % 3 == 0
        drawn = {"learning_rate": 3e-4 if by_itself else 0.05, "rescale_gradient": 0.5}
        loss = 5.0 if by_itself else 7.0
        algorithm.tell(f"{number}", Observation(drawn, 9, loss, finished=False))
        end = 9 if by_itself else 27
        algorithm.tell(f"{number}", Observation(drawn, end, loss, finished=True))
    rates = [algorithm.propose(f"p{n}")["learning_rate"] for n in range(11)]
    assert np.median([float(rate) for rate in rates]) < 2e-3, rates
