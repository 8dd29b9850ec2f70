"""What the doctor says of real corpora, and how its thresholds fare there.

    python benchmarks/doctor.py SOURCE [SOURCE ...] [--topics 20] [--epochs 40]

For SageMaker's NTM and the first two configurations of the space `coherent` it prints the figures
that diagnoses are made by, what training for twice as long brought, and what working out the
figures takes in CPU time beside an epoch. Then the standard error of the difference between the
losses of the latter two, over that of their gain over the unigram model, which stands in for it.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ntm_ray import NTM, Corpus, Hyperparameters
from ntm_ray.model import Training
from ntm_ray.model.evaluation import document_losses
from ntm_ray.model.examination import examined
from ntm_ray.model.judge import Judge, encoded_weights
from ntm_ray.tuning.space import SearchSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEAD = (
    "model",
    "findings",
    "KL",
    "TU",
    "live",
    "largest",
    "common",
    "rare",
    "kept",
    "gain error",
    "late gain",
    "twice as long",
    "rise",
    "cost %",
)


def main() -> None:
    """Print a table for each corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="+")
    parser.add_argument("--topics", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=40)
    given = parser.parse_args()

    torch.set_num_threads(1)
    first, second, *_ = SearchSpace.read("coherent").first
    for source in given.source:
        corpus = Corpus.read(source)
        print(f"\n{source}: {corpus!r}\n")
        print("| " + " | ".join(_HEAD) + " |\n" + "|---" * len(_HEAD) + "|")
        losses, errors = [], []
        for name, settings in (
            ("default", {}),
            ("coherent, first", dict(first)),
            ("coherent, second", dict(second)),
        ):
            sizes = {"num_topics": given.topics, "feature_dim": corpus.feature_dim}
            model, lost = row(name, corpus, sizes | settings, given.epochs)
            losses.append(lost)
            errors.append(model.evidence.gain_error or np.nan)
        difference = losses[2] - losses[1]
        error = difference.std() / np.sqrt(len(difference)) / np.mean(errors[1:])
        print(f"\nerror of the difference over that of the gain: {error:.2f}")


def row(
    name: str, corpus: Corpus, settings: dict[str, Any], epochs: int
) -> tuple[NTM, NDArray[np.float64]]:
    """Print a model's row; return it, and its loss of each validation document."""
    lengths = {"epochs": epochs, "num_patience_epochs": epochs + 1}
    training = trained(corpus, settings | lengths)
    longer = trained(
        corpus, settings | {"epochs": 2 * epochs, "num_patience_epochs": 2 * epochs + 1}
    )
    model = NTM.from_training(training)
    e, network = model.evidence, model._ready()
    weights = encoded_weights(network, Judge(corpus).documents)
    started = time.process_time()
    for _ in range(5):
        examined(training, network, weights)
    cost = (time.process_time() - started) / 5
    assert training.best is not None
    assert longer.best is not None
    assert None not in (e.loss, e.train_loss, e.unigram_loss, e.train_unigram_loss)
    kept = ((e.unigram_loss or 0) - (e.loss or 0)) / (
        (e.train_unigram_loss or 0) - (e.train_loss or 0)
    )
    epoch = min(record.seconds for record in training.history)
    cells = (
        name,
        ", ".join(finding.name for finding in model.findings()) or "-",
        f"{e.kl_per_document:.3f}",
        f"{e.topic_uniqueness:.2f}",
        f"{e.live_topics:.0f}",
        f"{e.largest_topic_share:.2f}",
        f"{e.common_word_share:.2f}",
        f"{e.rare_word_share:.2f}, {e.rare_vocabulary_share:.2f}",
        f"{kept:.2f}",
        f"{e.gain_error:.4f}",
        f"{e.recent_gain:.3f}",
        f"{training.best.loss - longer.best.loss:.3f}",
        f"{e.later_rise:.3f}",
        f"{100 * cost / epoch:.0f}",
    )
    print("| " + " | ".join(cells) + " |", flush=True)
    return model, document_losses(network, corpus.validation)


def trained(corpus: Corpus, settings: dict[str, Any]) -> Training:
    """A training to its end."""
    training = Training(Hyperparameters.parse(settings), corpus, seed=0)
    while not training.finished:
        training.train_epoch()
    return training


if __name__ == "__main__":
    main()
