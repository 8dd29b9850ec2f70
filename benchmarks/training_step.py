"""What a training step costs, beside what the machine must spend on it, and beside plain PyTorch.

    python benchmarks/training_step.py [--vocabulary 2000 20000] [--batch 16 256] [--topics 20]
                                       [--optimizer sgd adam] [--repeats 5] [--json FILE]

One process, one thread, float32; all times are medians of interleaved repeats, in seconds of
this process's CPU time, so that other work on the machine counts for little.

- floor: the three matrix products of the decoder, one exponential pass over (batch, vocabulary),
  the sparse product of the encoder and its gradient, and one fused pass over parameters, gradient
  and optimizer state. Where there are two ways (logits whole or in tiles that stay in the cache,
  `embedding_bag` or CSR), the faster one counts.
- step: an epoch of `ntm_ray.model.Training`, divided by its steps; preparing batches, the losses
  and bringing all parameters up to date at its end are in it.
- mapped: the same from a corpus that stays in its file; the file is in the system's page cache.
- dense: the same model in plain PyTorch: DataLoader over dense rows, nn.Linear, autograd,
  log_softmax, torch.optim. `loss` and `dense loss` are the last epochs' training losses, nats a
  word; the optimizers of the two differ as MXNet's and PyTorch's do.
- peak: the largest resident memory of a process that does nothing but train this case, MiB; of
  which `before` is what it had before the first epoch: Python, torch and the corpus.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.sparse import csr_matrix
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ntm_ray import Corpus
from ntm_ray.model import Hyperparameters, Training

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = 60
DENSE_ELEMENTS = 250_000_000
TILE_BYTES = 1 << 20
LEARNING_RATE = {"sgd": 1e-4, "adam": 1e-3, "adagrad": 1e-2, "adadelta": 1.0, "rmsprop": 1e-3}
COLUMNS = {
    "vocabulary": ",d",
    "batch": "d",
    "topics": "d",
    "optimizer": "s",
    "floor_ms": ".3f",
    "step_ms": ".3f",
    "step / floor": ".2f",
    "documents/s": ",.0f",
    "mapped documents/s": ",.0f",
    "dense documents/s": ",.0f",
    "step / dense": ".1f",
    "loss": ".3f",
    "dense loss": ".3f",
    "before MiB": ",.0f",
    "peak MiB": ",.0f",
}


def corpus_of(documents: int, vocabulary: int, seed: int = 0) -> Corpus:
    """Documents of 60 distinct words each, words drawn by Zipf's law, counts from 1 to 3."""
    random = np.random.default_rng(seed)
    share: np.ndarray = np.cumsum(1 / (np.arange(vocabulary) + 50))
    columns = np.empty((documents, WORDS), dtype=np.int32)
    for row in columns:
        drawn: dict[int, None] = {}
        while len(drawn) < WORDS:
            found = np.searchsorted(share, random.random(2 * WORDS) * share[-1], side="right")
            drawn |= dict.fromkeys(found.tolist())
        row[:] = np.sort(list(drawn)[:WORDS])
    values = random.integers(1, 4, size=columns.size).astype(np.float32)
    starts = np.arange(0, columns.size + 1, WORDS)
    train = csr_matrix((values, columns.ravel(), starts), shape=(documents, vocabulary))
    empty = train[:0]
    words = tuple(f"word{i}" for i in range(vocabulary))
    return Corpus(train=train, validation=empty, test=empty, vocabulary=words, name="zipf")


def mapped(corpus: Corpus) -> Corpus:
    """Return the same corpus, left in a file; the file goes when the corpus does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.npz")
        corpus.save(path)
        return Corpus.load(path, memory_map=True)


def hyperparameters_of(
    vocabulary: int, batch: int, topics: int, optimizer: str
) -> Hyperparameters:
    """Return the defaults but for what is given, trained as long as it takes."""
    return Hyperparameters(
        feature_dim=vocabulary,
        num_topics=topics,
        mini_batch_size=batch,
        optimizer=optimizer,
        learning_rate=LEARNING_RATE[optimizer],
        epochs=10_000,
        num_patience_epochs=10_000,
    )


class Floor:
    """The operations that a step cannot do without, each on buffers of its own."""

    def __init__(self, counts: csr_matrix, topics: int, optimizer: str) -> None:
        batch, vocabulary = counts.shape
        hidden = 3 * topics
        sizes = [vocabulary * (hidden + topics + 1), hidden * 2 * topics, 2 * topics * 2 * topics]
        self.theta = torch.rand(batch, topics)
        self.weight = torch.rand(vocabulary, topics)
        self.hidden = torch.rand(batch, hidden)
        self.encoder = torch.rand(vocabulary, hidden)
        self.rows = {"whole": batch, "tiles": max(1, TILE_BYTES // (4 * vocabulary))}
        self.logits = torch.rand(max(self.rows.values()), vocabulary)
        self.d_weight = torch.zeros(vocabulary, topics)
        self.counts = self._sparse(counts)
        self.transposed = self._sparse(counts.T.tocsr())
        self.flat = [torch.rand(sum(sizes)) for _ in range(4)]
        self.steps = torch.ones(())
        self.optimizer = optimizer

    @staticmethod
    def _sparse(matrix: csr_matrix) -> dict[str, torch.Tensor]:
        starts, columns, values = (
            torch.tensor(array) for array in (matrix.indptr, matrix.indices, matrix.data)
        )
        csr = torch.sparse_csr_tensor(
            starts, columns, values, size=matrix.shape, check_invariants=False
        )
        return {"starts": starts, "columns": columns, "values": values, "csr": csr}

    def parts(self) -> dict[str, list[Callable[[], object]]]:
        """Return each part's alternatives, of which the fastest counts."""

        def bags(sparse: dict[str, torch.Tensor], dense: torch.Tensor) -> Callable[[], object]:
            return lambda: functional.embedding_bag(
                sparse["columns"],
                dense,
                sparse["starts"],
                mode="sum",
                per_sample_weights=sparse["values"],
                include_last_offset=True,
            )

        def csr(sparse: dict[str, torch.Tensor], dense: torch.Tensor) -> Callable[[], object]:
            return lambda: torch.mm(sparse["csr"], dense)

        return {
            "decoder": [lambda: self.decode("whole"), lambda: self.decode("tiles")],
            "product": [make(self.counts, self.encoder) for make in (bags, csr)],
            "gradient": [make(self.transposed, self.hidden) for make in (bags, csr)],
            "update": [self.update],
        }

    def decode(self, way: str) -> None:
        """Do the three products and the exponential pass."""
        rows = self.rows[way]
        for start in range(0, len(self.theta), rows):
            theta = self.theta[start : start + rows]
            logits = torch.mm(theta, self.weight.T, out=self.logits[: len(theta)])
            logits.exp_()
            torch.mm(logits, self.weight)
            self.d_weight.addmm_(logits.T, theta)

    def update(self) -> None:
        """Do one pass over parameters, gradient and as many arrays of state as there are."""
        p, g, a, b = ([one] for one in self.flat)
        steps = [self.steps]
        # Torch's fused kernels are private; a floor may use them, a package should not.
        if self.optimizer == "sgd":
            torch._fused_sgd_(
                p, g, [], weight_decay=0.0, momentum=0.0, lr=1e-9, dampening=0.0,
                nesterov=False, maximize=False, is_first_step=False,
            )  # fmt: skip
        elif self.optimizer in {"adagrad", "rmsprop"}:  # one array of state
            torch._fused_adagrad_(
                p, g, a, steps, lr=1e-9, lr_decay=0.0, weight_decay=0.0, eps=1e-7, maximize=False
            )
        else:  # two arrays of state
            torch._fused_adam_(
                p, g, a, b, [], steps, lr=1e-9, beta1=0.9, beta2=0.999, weight_decay=0.0,
                eps=1e-8, amsgrad=False, maximize=False,
            )  # fmt: skip


class DenseNtm(nn.Module):
    """The NTM as one writes it first."""

    def __init__(self, vocabulary: int, topics: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(vocabulary, 3 * topics),
            nn.Sigmoid(),
            nn.Linear(3 * topics, 2 * topics),
            nn.Sigmoid(),
        )
        self.mean = nn.Linear(2 * topics, topics)
        self.log_sigma = nn.Linear(2 * topics, topics)
        self.projection = nn.Linear(topics, vocabulary)

    def forward(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the loss of each document, nats."""
        hidden = self.encoder(counts)
        mean, log_sigma = self.mean(hidden), self.log_sigma(hidden)
        theta = torch.softmax(mean + log_sigma.exp() * torch.randn_like(mean), dim=1)
        recons = -(counts * torch.log_softmax(self.projection(theta), dim=1)).sum(dim=1)
        kld = -0.5 * (1 + 2 * log_sigma - mean.square() - (2 * log_sigma).exp()).sum(dim=1)
        nats: torch.Tensor = recons + kld
        return nats


class Dense:
    """A training of the plain NTM, an epoch at a time."""

    def __init__(self, corpus: Corpus, hyperparameters: Hyperparameters) -> None:
        torch.manual_seed(0)
        vocabulary, topics = hyperparameters.feature_dim, hyperparameters.num_topics
        self.model = DenseNtm(vocabulary, topics)
        with torch.no_grad():
            for parameter in self.model.parameters():
                if parameter.ndim == 2:
                    parameter.uniform_(-0.07, 0.07)
                else:
                    parameter.zero_()
        rows = torch.from_numpy(corpus.train.toarray())
        self.loader = DataLoader(
            TensorDataset(rows), batch_size=hyperparameters.mini_batch_size, shuffle=True
        )
        make: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
            "sgd": lambda p, rate: torch.optim.SGD(p, lr=rate),
            "adam": lambda p, rate: torch.optim.Adam(p, lr=rate),
            "adagrad": lambda p, rate: torch.optim.Adagrad(p, lr=rate, eps=1e-7),
            "adadelta": lambda p, rate: torch.optim.Adadelta(p, lr=rate, rho=0.9, eps=1e-5),
            "rmsprop": lambda p, rate: torch.optim.RMSprop(p, lr=rate, alpha=0.9),
        }
        self.optimizer = make[hyperparameters.optimizer](
            self.model.parameters(), hyperparameters.learning_rate
        )
        self.loss = math.nan

    def epoch(self) -> float:
        """Train an epoch and return its seconds."""
        started, total, documents = time.process_time(), 0.0, 0
        for (counts,) in self.loader:
            nats = self.model(counts)
            self.optimizer.zero_grad()
            nats.sum().backward()
            self.optimizer.step()
            total += (nats.detach() / counts.sum(dim=1)).sum().item()
            documents += len(counts)
        self.loss = total / documents
        return time.process_time() - started


def seconds(function: Callable[[], object], least: float = 0.02) -> float:
    """Return the seconds that a call takes, from as many as fill `least` seconds."""
    calls, started = 0, time.process_time()
    while (taken := time.process_time() - started) < least:
        function()
        calls += 1
    return taken / calls


def measure(
    vocabulary: int, batch: int, topics: int, optimizer: str, *, repeats: int, dense: bool
) -> dict[str, Any]:
    """Return one row of the table."""
    documents = min(max(2 * batch, DENSE_ELEMENTS // vocabulary), max(4096, 2 * batch))
    corpus = corpus_of(documents, vocabulary)
    hyperparameters = hyperparameters_of(vocabulary, batch, topics, optimizer)
    floor = Floor(corpus.train[:batch], topics, optimizer).parts()
    training = Training(hyperparameters, corpus, seed=0)
    from_store = Training(hyperparameters, mapped(corpus), seed=0)
    plain = Dense(corpus, hyperparameters) if dense else None
    floors: dict[str, list[list[float]]] = {
        part: [[] for _ in ways] for part, ways in floor.items()
    }
    steps: list[float] = []
    stores: list[float] = []
    plains: list[float] = []
    for _ in range(repeats + 1):
        for part, ways in floor.items():
            for times, way in zip(floors[part], ways, strict=True):
                times.append(seconds(way))
        for times, one in ((steps, training), (stores, from_store)):
            started = time.process_time()
            one.train_epoch()
            times.append((time.process_time() - started) / documents * batch)
        if plain is not None:
            plains.append(plain.epoch() / documents * batch)

    def median(times: list[float]) -> float:
        return statistics.median(times[1:])  # the first one warms up

    best = {part: min(median(times) for times in ways) for part, ways in floors.items()}
    step = median(steps)
    row: dict[str, Any] = {
        "vocabulary": vocabulary,
        "batch": batch,
        "topics": topics,
        "optimizer": optimizer,
        "floor_ms": 1e3 * sum(best.values()),
        "step_ms": 1e3 * step,
        "step / floor": step / sum(best.values()),
        "documents/s": batch / step,
        "mapped documents/s": batch / median(stores),
        "loss": training.history[-1].train.total_loss,
        **{f"floor {part}_ms": 1e3 * value for part, value in best.items()},
    }
    if plain is not None:
        row |= {
            "dense documents/s": batch / median(plains),
            "step / dense": median(plains) / step,
            "dense loss": plain.loss,
        }
    return row


def peak_memory(
    vocabulary: int, batch: int, topics: int, optimizer: str, *, encoder_layers: str
) -> None:
    """Train two steps and print the process's largest resident memory before and after."""
    corpus = corpus_of(2 * batch, vocabulary)
    plain = hyperparameters_of(vocabulary, batch, topics, optimizer).to_json_dict()
    hyperparameters = Hyperparameters.parse(plain | {"encoder_layers": encoder_layers})
    before = peak_mebibytes()
    Training(hyperparameters, corpus, seed=0).train_epoch()
    print(json.dumps({"before MiB": before, "peak MiB": peak_mebibytes()}))


def peak_mebibytes() -> float:
    """Return the largest resident memory that this process has had."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where getrusage also counts the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # macOS: bytes


def main() -> None:
    """Measure each case and print its row of the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[2_000, 20_000, 100_000])
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 256, 2048])
    parser.add_argument("--topics", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--optimizer", nargs="+", choices=LEARNING_RATE, default=[*LEARNING_RATE])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-dense", action="store_true", help="leave plain PyTorch out")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument(
        "--peak-memory", action="store_true", help="print the peak memory of the cases alone"
    )
    parser.add_argument("--encoder-layers", default="auto", help="with --peak-memory")
    given = parser.parse_args()

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)  # CSR is in beta
    cases = itertools.product(given.vocabulary, given.batch, given.topics, given.optimizer)
    if given.peak_memory:
        for case in cases:
            peak_memory(*case, encoder_layers=given.encoder_layers)
        return
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    rows = []
    for case in cases:
        row = measure(*case, repeats=given.repeats, dense=not given.no_dense)
        if not given.no_memory:
            names = ("--vocabulary", "--batch", "--topics", "--optimizer")
            options = itertools.chain(*zip(names, map(str, case), strict=True))
            command = [sys.executable, __file__, "--peak-memory", *options]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            row |= json.loads(done.stdout)
        rows.append(row)
        cells = (format(row[name], form) if name in row else "" for name, form in COLUMNS.items())
        print(f"| {' | '.join(cells)} |", flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
