"""What training costs from a corpus that stays in its file, and may be larger than memory.

    python -m benchmarks.mapped make FILE [--documents 3000000] [--vocabulary 20000]
    python -m benchmarks.mapped train FILE [--batch 256] [--documents 200000] [--in-memory]

`make` writes a corpus of documents of 60 distinct words each, 480 bytes a document, straight to
the file. `train` trains on some of its documents, drawn from all of it, and prints documents a
second (wall time, one thread, 20 topics, adagrad), and the process's largest resident memory.
For a corpus larger than memory, run it where memory is limited, for example by

    systemd-run --scope -p MemoryMax=900M python -m benchmarks.mapped train FILE
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix

from benchmarks.training_step import WORDS, hyperparameters_of, peak_mebibytes
from ntm_ray import Corpus
from ntm_ray.model import Training


def make(path: Path, documents: int, vocabulary: int) -> None:
    """Write a corpus: a document has one word of each of 60 equal parts of the vocabulary."""
    random = np.random.default_rng(0)
    bounds = np.linspace(0, vocabulary, WORDS + 1).astype(np.int32)
    columns = random.integers(bounds[:-1], bounds[1:], (documents, WORDS), dtype=np.int32)
    values = random.integers(1, 4, columns.size, dtype=np.int8).astype(np.float32)
    starts = np.arange(0, columns.size + 1, WORDS, dtype=np.int32)
    train = csr_matrix((values, columns.ravel(), starts), shape=(documents, vocabulary))
    words = tuple(f"word{i}" for i in range(vocabulary))
    empty = train[:0]
    Corpus(train=train, validation=empty, test=empty, vocabulary=words, name="flat").save(path)
    print(f"{documents:,} documents, {path.stat().st_size / (1 << 20):,.0f} MiB")


def train(path: Path, batch: int, documents: int, *, in_memory: bool) -> None:
    """Train three epochs, each of some documents of the corpus, and print what they took."""
    corpus = Corpus.load(path, memory_map=not in_memory)
    share = min(1.0, documents / corpus.train.shape[0])
    hyperparameters = hyperparameters_of(corpus.feature_dim, batch, 20, "adagrad")
    training = Training(hyperparameters.model_copy(update={"sub_sample": share}), corpus, seed=0)
    for _ in range(3):
        begun = time.perf_counter()
        record = training.train_epoch()
        seconds = time.perf_counter() - begun
        print(
            f"epoch {record.epoch}: {record.documents_per_second:,.0f} documents a second, "
            f"{seconds:.1f} s; peak {peak_mebibytes():,.0f} MiB",
            flush=True,
        )


def main() -> None:
    """Carry out one of the two commands."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["make", "train"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--documents", type=int)
    parser.add_argument("--vocabulary", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--in-memory", action="store_true", help="read the corpus into memory")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "make":
        make(given.file, given.documents or 3_000_000, given.vocabulary)
    else:
        train(given.file, given.batch, given.documents or 200_000, in_memory=given.in_memory)


if __name__ == "__main__":
    main()
