"""What looking at topics costs, beside an epoch on one core, and by which documents to look.

    python benchmarks/coherence.py SOURCE [--topics 20 50] [--references]

Prints milliseconds and per cent of an epoch, with SageMaker's NTM and with the first configuration
of the space `coherent`, each the least of several runs by the time of the processor: NPMI alone;
all that an objective made of topics takes after each epoch (NPMI, TU, TD and a copy of the
weights); document completion, which `completion` and `balanced` take besides; all of a model's
measures, and writing it, which a trial does at rungs. Top words are
those of the model after each epoch, so that some of them are new to the reference.

With `--references`, NPMI of both by different documents, epoch by epoch: who has few documents
cannot tell which model has the better topics.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntm_ray import NTM, Corpus
from ntm_ray.model import CoherenceReference, Hyperparameters, Training, top_numbers
from ntm_ray.model.judge import Judge
from ntm_ray.model.objectives import OBJECTIVES
from ntm_ray.model.variant_network import network_for
from ntm_ray.tuning.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCHS = 6
SHOWN = (1, 3, 9, 27)
SAMPLES = (100, 500, 1000, 2000)


def main() -> None:
    """Print a row for each number of topics and model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--topics", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--references", action="store_true")
    given = parser.parse_args()

    torch.set_num_threads(1)
    corpus = Corpus.read(given.source)
    if given.references:
        for topics in given.topics:
            print_references(corpus, topics)
    else:
        print_costs(corpus, given.topics)


def models() -> dict[str, dict[str, Any]]:
    """The hyperparameters of what is measured, by name."""
    return {"default": {}, "coherent": dict(SearchSpace.read("coherent").first[0])}


def settings_for(corpus: Corpus, topics: int, epochs: int) -> dict[str, Any]:
    """What is the same for all of them."""
    sizes = {"feature_dim": corpus.feature_dim, "num_topics": topics, "epochs": epochs}
    return sizes | {"num_patience_epochs": epochs + 1}


def print_costs(corpus: Corpus, many: list[int]) -> None:
    """Print what looking at topics takes."""
    judge, made = timed(Judge, corpus)
    print(
        f"{corpus.documents['train']} training and {corpus.documents['validation']} validation "
        f"documents; ready to judge in {1e3 * made:.1f} ms"
    )
    print(
        "| topics | model | epoch ms | NPMI ms | % | objective ms | % | completion ms | % "
        "| measures ms | % | save ms | % |"
    )
    print("|---" * 13 + "|")
    for topics in many:
        for name, settings in models().items():
            every = settings_for(corpus, topics, EPOCHS) | settings
            training = Training(
                Hyperparameters.parse(every),
                corpus,
                seed=0,
                objective=OBJECTIVES["topic_quality"],
                judge=judge,
            )
            reference = CoherenceReference(corpus.train)
            spent: dict[str, list[float]] = {
                "epoch": [],
                "npmi": [],
                "topics": [],
                "completion": [],
                "all": [],
                "save": [],
            }
            plain = Training(Hyperparameters.parse(every), corpus, seed=0)
            for _ in range(EPOCHS):
                spent["epoch"].append(timed(plain.train_epoch)[1])
                training.train_epoch()
                tensors, copied = timed(training._learner.tensors)
                weights = tensors["projection_weight"].numpy()
                numbers = timed(top_numbers, weights, 10)
                spent["npmi"].append(numbers[1] + timed(reference.npmi, numbers[0])[1])
                spent["topics"].append(copied + timed(judge.topics, weights)[1])
                spent["completion"].append(timed(complete, judge, training, tensors)[1])
                model, judged = timed(NTM.from_training, plain, judge=judge)
                spent["all"].append(judged)
                with tempfile.TemporaryDirectory() as folder:
                    spent["save"].append(timed(model.save, Path(folder, "model"))[1])
            epoch, *others = (1e3 * min(times) for times in spent.values())
            cells = " | ".join(f"{ms:.1f} | {100 * ms / epoch:.1f}" for ms in others)
            print(f"| {topics} | {name} | {epoch:.1f} | {cells} |")


def complete(judge: Judge, training: Training, tensors: dict[str, torch.Tensor]) -> float:
    """Do what a training does after an epoch for document completion."""
    network = network_for(training.hyperparameters)
    network.load(tensors)
    return judge.completion(network)


def print_references(corpus: Corpus, topics: int) -> None:
    """Print NPMI by the documents of each partition, and by some of those of training."""
    order = np.random.default_rng(0).permutation(corpus.train.shape[0])
    counts = {name: part for name, part in corpus.partitions.items() if part.shape[0]}
    samples = [number for number in SAMPLES if number < corpus.train.shape[0]]
    counts |= {f"{number} of train": corpus.train[order[:number]] for number in samples}
    references = {name: CoherenceReference(part) for name, part in counts.items()}
    sizes = [f"{name}, {part.shape[0]}" for name, part in counts.items()]
    print(f"\nNPMI, {topics} topics, by documents of:\n")
    print("| model | epoch | loss |", " | ".join(sizes), "|")
    print("|---" * (3 + len(counts)) + "|")
    for name, settings in models().items():
        every = settings_for(corpus, topics, SHOWN[-1]) | settings
        training = Training(Hyperparameters.parse(every), corpus, seed=0)
        while not training.finished:
            record = training.train_epoch()
            if record.epoch in SHOWN:
                weights = training._learner.tensors()["projection_weight"].numpy()
                words = top_numbers(weights, 10)
                found = [
                    f"{reference.npmi(words).mean():.3f}" for reference in references.values()
                ]
                print(f"| {name} | {record.epoch} | {record.loss:.3f} |", " | ".join(found), "|")


def timed(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, float]:
    """What a call returns, and the processor's seconds that it took."""
    started = time.process_time()
    result = call(*arguments, **options)
    return result, time.process_time() - started


if __name__ == "__main__":
    main()
