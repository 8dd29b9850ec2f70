"""Tune 20 topics of 20 Newsgroups in each search space, and print a table of what was reached.

    python benchmarks/newsgroups.py FOLDER [--seeds 0 1 2] [--trials 40] [--epochs 27]

FOLDER holds `corpus.tsv` and `vocabulary.txt` in OCTIS's form; the figures in benchmarks/README.md
are of the ETM preprocessing (11,214 training and 100 validation documents, 3,072 words).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from ntm_ray import Corpus, TuningJob


def main() -> None:
    """Run a job for each space and seed, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--spaces", nargs="+", default=["sagemaker", "focused"])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=27)
    parser.add_argument("--slots", type=int, default=2)
    given = parser.parse_args()

    corpus = Corpus.read(given.folder)
    print(
        "| space | seed | best total_loss | defaults | unigram | KL a document | topic uniqueness "
        "| epochs spent | wall s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for space in given.spaces:
        for seed in given.seeds:
            with tempfile.TemporaryDirectory() as storage:
                result = TuningJob(
                    corpus=corpus,
                    hyperparameters={"num_topics": 20, "epochs": given.epochs},
                    search_space=space,
                    trials=given.trials,
                    slots=given.slots,
                    seed=seed,
                    storage=storage,
                ).run()
            if result.interrupted:
                return
            metrics, baselines = result.best.metrics, result.baselines
            print(
                f"| {space} | {seed} | {metrics['validation:total_loss']:.3f} "
                f"| {baselines['defaults']:.3f} | {baselines['unigram']:.3f} "
                f"| {metrics['kl_per_document']:.2f} | {metrics['topic_uniqueness']:.2f} "
                f"| {result.epochs_spent} of {given.trials * given.epochs} "
                f"| {result.wall_seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
