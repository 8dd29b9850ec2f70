"""Replay every contender on every table, and keep the best loss by epochs spent.

    python -m benchmarks.search_quality.compare [--seeds 10] [--corpora ...] [--contenders ...]

The budget is that of 40 configurations trained to their last epoch, a job's default number of
trials. Results go to `results.json` beside the tables; `report` makes the table and the plot.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.search_quality.others import PlainOptuna, PlainRay
from benchmarks.search_quality.ours import Ours
from benchmarks.search_quality.portfolio import first_for
from benchmarks.search_quality.replay import Contender, replay
from benchmarks.search_quality.surrogate import Surrogate
from benchmarks.search_quality.table import tables
from ntm_ray.tuning import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results.json"
TRIALS = 40
PORTFOLIO = 5
# Shares of the budget at which the best loss so far is kept.
SHARES = np.unique(np.concatenate([np.geomspace(0.005, 1, 60), [0.05, 0.1, 0.2, 0.5]]))


def contenders() -> dict[str, Callable[[str, int, int], Contender]]:
    """Each contender by name, made for a corpus, a number of epochs and a seed."""
    found = tables()
    focused = SearchSpace.read("focused").model_copy(update={"first": ()})
    # On a corpus, nothing that was chosen by looking at it.
    spaces = {
        corpus: focused.model_copy(update={"first": first_for(corpus, PORTFOLIO, found)})
        for corpus in found
    }
    return {
        "random search": lambda _, epochs, seed: Ours(
            epochs, seed, search="random", scheduler="none", search_space=focused
        ),
        "Ray Tune: HyperOptSearch, ASHAScheduler": lambda _, epochs, seed: PlainRay(epochs, seed),
        "Optuna: TPESampler, HyperbandPruner": lambda _, epochs, seed: PlainOptuna(epochs, seed),
        "ntm-ray without first configurations": lambda _, epochs, seed: Ours(
            epochs, seed, search_space=focused
        ),
        "ntm-ray": lambda corpus, epochs, seed: Ours(epochs, seed, search_space=spaces[corpus]),
    }


def main() -> None:
    """Replay, and bring the results up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--corpora", nargs="+", default=list(tables()))
    parser.add_argument("--contenders", nargs="+", default=list(contenders()))
    given = parser.parse_args()

    warnings.simplefilter("ignore")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    makers = contenders()
    for corpus in given.corpora:
        table = tables()[corpus]
        surrogate = Surrogate(table)
        budget = TRIALS * table.epochs
        at = np.maximum(np.round(SHARES * budget).astype(int), 1) - 1
        for name in given.contenders:
            begun = time.monotonic()
            runs = [
                replay(makers[name](corpus, table.epochs, seed), surrogate, budget)[at]
                for seed in range(given.seeds)
            ]
            # A search that has seen nothing yet has reached nothing: JSON has no infinity.
            kept = [[round(x, 5) if np.isfinite(x) else None for x in run] for run in runs]
            results.setdefault(corpus, {"epochs": table.epochs})[name] = kept
            RESULTS.write_text(json.dumps({"shares": SHARES.round(5).tolist()} | results) + "\n")
            print(f"{corpus}, {name}: {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
