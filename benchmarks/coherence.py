"""What NPMI at a rung costs, beside an epoch of training and evaluation on one core.

    python benchmarks/coherence.py SOURCE [--topics 20 50] [--documents validation]

Prints milliseconds, and NPMI in per cent of an epoch of SageMaker's NTM and of the first
configuration of the space `coherent`; each is the least of several runs. Top words are those of
the model after each epoch, so that some of them are new to the reference.
"""

from __future__ import annotations

import argparse
import time

import torch

from ntm_ray import Corpus
from ntm_ray.model import CoherenceReference, Hyperparameters, Training, top_numbers
from ntm_ray.tuning.space import SearchSpace

EPOCHS = 6


def main() -> None:
    """Print a row for each number of topics and model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--topics", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--documents", choices=["train", "validation"], default="validation")
    given = parser.parse_args()

    torch.set_num_threads(1)
    corpus = Corpus.read(given.source)
    counts = corpus.partitions[given.documents]
    started = time.perf_counter()
    reference = CoherenceReference(counts)
    print(
        f"{counts.shape[0]} documents, made ready in {1e3 * (time.perf_counter() - started):.1f}"
    )
    print("| topics | model | epoch ms | NPMI ms | per cent |")
    print("|---|---|---|---|---|")
    first = dict(SearchSpace.read("coherent").first[0])
    for topics in given.topics:
        for name, settings in (("default", {}), ("coherent", first)):
            sizes = {"feature_dim": corpus.feature_dim, "num_topics": topics, "epochs": EPOCHS}
            training = Training(Hyperparameters.parse(sizes | settings), corpus, seed=0)
            epochs, judged = [], []
            while not training.finished:
                epochs.append(training.train_epoch().seconds)
                weights = training.best_tensors["projection_weight"].numpy()
                started = time.perf_counter()
                reference.npmi(top_numbers(weights))
                judged.append(time.perf_counter() - started)
            part = 100 * min(judged) / min(epochs)
            print(
                f"| {topics} | {name} | {1e3 * min(epochs):.1f} | {1e3 * min(judged):.1f} "
                f"| {part:.1f} |"
            )


if __name__ == "__main__":
    main()
