"""What completes documents best: how many rounds, and a prior of which size.

    python benchmarks/inference.py news=FOLDER docstrings manual [--topics 50] [--seed 0]

Corpora are named as in `topics.py`. Trains the first configuration of the space `coherent`, and
its first one that refines topic weights, and prints the perplexity of the other halves of test
documents by rounds of expectation maximisation from the encoder's weights on, and by the size of
the prior (`ntm_ray/model/inference.py`). The last row of a model says what was settled for it by
its validation documents.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.topics import corpus_of, halves, of_ntm, perplexity
from ntm_ray import NTM
from ntm_ray.model.inference import SIZES, Inference
from ntm_ray.model.variant_network import VariantNetwork
from ntm_ray.tuning.space import SearchSpace

ROUNDS = (0, 1, 2, 3, 5, 10, 50)


def main() -> None:
    """Print a table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--topics", type=int, nargs="+", default=[50])
    parser.add_argument("--epochs", type=int, default=35)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    torch.set_num_threads(1)
    first = SearchSpace.read("coherent").first
    refined = next(settings for settings in first if settings["refinement"])
    patient = {"epochs": given.epochs, "num_patience_epochs": given.epochs + 1}
    print(f"| corpus | topics | refinement | size | {' | '.join(map(str, ROUNDS))} |")
    print(f"|---|---|---|---|{'---|' * len(ROUNDS)}")
    for named in given.corpora:
        corpus = corpus_of(named)
        seen, judged = halves(corpus.test)
        for topics in given.topics:
            for settings in (first[0], refined):
                model = NTM({**patient, **settings}, num_topics=topics)
                model.fit(corpus, seed=given.seed, device="cpu")
                network, own = model._ready(), of_ntm(model, 0.0).own
                assert isinstance(network, VariantNetwork)
                settled, training = network.inference, float(network.prior_in_training().sum())
                head = f"| {corpus.name} | {topics} | {settings['refinement']} |"
                for size in (0.3, *SIZES, 10.0, training):
                    found = []
                    for rounds in ROUNDS:
                        network.inference = Inference(rounds, size)
                        found.append(f"{perplexity(own(seen, judged), judged):.0f}")
                    print(f"{head} {size:.1f} | {' | '.join(found)} |", flush=True)
                assert settled is not None
                print(f"{head} settled: {settled.rounds} rounds, size {settled.size:.1f} |")


if __name__ == "__main__":
    main()
