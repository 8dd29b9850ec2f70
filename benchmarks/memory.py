"""The memory of a training as it is estimated for packing, beside what it really took.

    python benchmarks/memory.py

Each case trains two epochs in a process of its own, on a CPU; `took` is the most resident memory
of that process. On a GPU, `ntm-ray tune` learns from each trial that takes more than estimated.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from ntm_ray import Corpus
from ntm_ray.model import Hyperparameters, Training
from ntm_ray.model.memory import CorpusSize, training_memory

MIB = 1 << 20
DOCUMENTS, WORDS = 2_000, 60
MIXED = {
    "decoder": "mixture", "decoder_start": "clusters", "encoder_input": "log",
    "prior_concentration": 0.5, "prior": "learned", "encoder_layers": "300",
}  # fmt: skip
CASES = [
    {"feature_dim": vocabulary, "num_topics": topics, "optimizer": optimizer, "mini_batch_size": b}
    for vocabulary, topics, optimizer, b in [
        (2_000, 20, "adadelta", 256),
        (20_000, 20, "adam", 256),
        (20_000, 100, "sgd", 16),
        (100_000, 20, "adagrad", 256),
        (100_000, 100, "adam", 256),
        (500_000, 20, "rmsprop", 256),
        (500_000, 100, "sgd", 16),
        (500_000, 100, "adagrad", 2_048),
    ]
] + [
    {
        "feature_dim": vocabulary, "num_topics": topics, "optimizer": "adam",
        "mini_batch_size": 128, **MIXED,
    }
    for vocabulary, topics in [(20_000, 20), (20_000, 100), (100_000, 50), (500_000, 20)]
]  # fmt: skip


def corpus_of(vocabulary: int) -> Corpus:
    """Documents of random words, so many that all of the vocabulary is trained on."""
    random = np.random.default_rng(0)
    columns = random.integers(0, vocabulary, DOCUMENTS * WORDS)
    rows = np.repeat(np.arange(DOCUMENTS), WORDS)
    counts = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(DOCUMENTS, vocabulary))
    words = [str(number) for number in range(vocabulary)]
    return Corpus.from_counts(counts, words, validation_fraction=0.1)


def measure(settings: dict[str, object]) -> None:
    """Train a case in this process, and print what was estimated and what it took, MiB."""
    torch.set_num_threads(1)
    hyperparameters = Hyperparameters.parse(settings | {"epochs": 2})
    corpus = corpus_of(hyperparameters.feature_dim)
    size = CorpusSize(corpus.feature_dim, corpus.documents["train"], corpus.train.nnz)
    training = Training(hyperparameters, corpus, seed=0)
    while not training.finished:
        training.train_epoch()
    estimate = training_memory(hyperparameters, size, "cpu").total
    took = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([estimate / MIB, took / MIB]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", help=argparse.SUPPRESS)
    case = parser.parse_args().case
    if case is not None:
        measure(json.loads(case))
        return
    print(
        "| words | K | decoder | optimizer | batch | estimated MiB | took MiB | took / estimated |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for settings in CASES:
        run = subprocess.run(
            [sys.executable, __file__, "--case", json.dumps(settings)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        )
        estimated, took = json.loads(run.stdout)
        print(
            f"| {settings['feature_dim']:,} | {settings['num_topics']} "
            f"| {settings.get('decoder', 'product')} | {settings['optimizer']} "
            f"| {settings['mini_batch_size']:,} | {estimated:,.0f} | {took:,.0f} "
            f"| {took / estimated:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
