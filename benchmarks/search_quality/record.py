"""Train configurations to their last epoch and keep their curves, for the simulator to replay.

    python -m benchmarks.search_quality.record CORPUS TABLE --epochs 81 [--configurations 250]

CORPUS is what `Corpus.read` reads; TABLE a `.jsonl` file, one configuration and its curve a line.
Interrupted, it goes on where it was, and so it does with a larger number of configurations. With
`--pace` it trains nothing to the end, but measures anew how long an epoch of each that is recorded
takes. The committed tables are these, compressed by `gzip -n -9`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ntm_ray import Corpus
from ntm_ray.model import Hyperparameters, Training
from ntm_ray.tuning import SearchSpace

TOPICS = 20
# Of every three configurations one is not drawn from the space but near one of the best so far:
# there the search algorithms will want to know, and there draws are rare.
NEAR_EVERY = 3
NEAR_OF_BEST = 10
# A pace is the fastest of so many epochs: the others waited for whatever else the machine did.
PACE_EPOCHS = 3


def main() -> None:
    """Record one corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("table", type=Path)
    parser.add_argument("--epochs", type=int, default=81)
    parser.add_argument("--configurations", type=int, default=250)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this long")
    parser.add_argument("--pace", action="store_true", help="only measure the paces anew")
    given = parser.parse_args()

    torch.set_num_threads(1)
    corpus = Corpus.read(given.corpus)
    given.table.parent.mkdir(parents=True, exist_ok=True)
    lines = given.table.read_text().splitlines() if given.table.exists() else []
    recorded = [json.loads(line) for line in lines]
    if given.pace:
        for number, entry in enumerate(recorded):
            epoch = pace(corpus, entry["configuration"], number)
            entry["seconds"] = round(epoch * len(entry["curve"]), 3)
        given.table.write_text("".join(json.dumps(entry) + "\n" for entry in recorded))
        return
    space = SearchSpace.read("focused")
    end = time.monotonic() + given.minutes * 60
    while len(recorded) < given.configurations and time.monotonic() < end:
        number = len(recorded)
        generator = np.random.default_rng([2026, number])
        configuration = space.sample(generator)
        if number % NEAR_EVERY == NEAR_EVERY - 1:
            configuration = near(recorded, space, generator)
        entry = train(corpus, configuration, given.epochs, seed=number)
        recorded.append(entry)
        with given.table.open("a") as file:
            file.write(json.dumps(entry) + "\n")


def train(corpus: Corpus, configuration: dict[str, Any], epochs: int, seed: int) -> dict[str, Any]:
    """Train one configuration and return it with its `validation:total_loss` at each epoch."""
    training = begin(corpus, configuration, epochs, seed)
    curve: list[float | None] = []
    seconds = 0.0
    while not training.finished:
        epoch = training.train_epoch()
        # The loss of training alone can diverge, with a finite one of validation.
        curve.append(None if epoch.diverged else round(epoch.loss, 5))
        seconds += epoch.seconds
    return {"configuration": configuration, "curve": curve, "seconds": round(seconds, 2)}


def begin(corpus: Corpus, configuration: dict[str, Any], epochs: int, seed: int) -> Training:
    """A training that nothing but its number of epochs and divergence ends."""
    settings = {
        "feature_dim": corpus.feature_dim,
        "num_topics": TOPICS,
        "epochs": epochs,
        "num_patience_epochs": epochs + 1,
    }
    return Training(Hyperparameters.parse(settings | configuration), corpus, seed=seed)


def pace(corpus: Corpus, configuration: dict[str, Any], seed: int) -> float:
    """Seconds that an epoch of a configuration takes."""
    training = begin(corpus, configuration, PACE_EPOCHS, seed)
    seconds = math.inf
    while not training.finished:
        seconds = min(seconds, training.train_epoch().seconds)
    return seconds


def near(
    recorded: list[dict[str, Any]], space: SearchSpace, generator: np.random.Generator
) -> dict[str, Any]:
    """A configuration near one of the best so far: each number a tenth of its scale away."""

    def loss(entry: dict[str, Any]) -> float:
        return min((loss for loss in entry["curve"] if loss is not None), default=math.inf)

    best = sorted(recorded, key=loss)[:NEAR_OF_BEST]
    configuration = dict(best[int(generator.integers(len(best)))]["configuration"])
    for parameter in space.parameters:
        if not parameter.is_active(configuration) or parameter.type == "categorical":
            continue
        value = float(configuration[parameter.name])
        if value == getattr(parameter, "disabled", None):
            continue
        if parameter.scaling == "logarithmic":
            spread = math.log(parameter.max / parameter.min) / 10
            value *= math.exp(spread * generator.standard_normal())
        else:
            value += (parameter.max - parameter.min) / 10 * generator.standard_normal()
        value = min(parameter.max, max(parameter.min, value))
        configuration[parameter.name] = round(value) if parameter.type == "integer" else value
    return configuration


if __name__ == "__main__":
    main()
