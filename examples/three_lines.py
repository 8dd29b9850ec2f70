"""Tune a topic model from Python: a corpus, a job, a result.

python examples/three_lines.py [SOURCE] [TRIALS]
"""

from __future__ import annotations

import sys

from ntm_ray import Corpus, TuningJob


def main(source: str = "docstrings", trials: str = "40") -> None:
    """Tune 20 topics of the corpus, and print the best model's topics."""
    corpus = Corpus.read(source)
    job = TuningJob(corpus=corpus, hyperparameters={"num_topics": 20}, trials=int(trials))
    result = job.run()

    print(f"validation:total_loss {result.best.metrics['validation:total_loss']:.4f} nats a word")
    for topic in result.best.model().topics(words=8):
        print(" ".join(topic))


if __name__ == "__main__":
    main(*sys.argv[1:3])
