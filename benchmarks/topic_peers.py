"""ProdLDA (Srivastava and Sutton 2017) as OCTIS and TopMost have it, on a `Corpus`.

    pip install --no-deps octis topmost

OCTIS 1.14.0 and TopMost 1.0.2 were tried. Neither is a dependency of this package: OCTIS asks for
older versions of NumPy, SciPy and scikit-learn, TopMost for a torchvision that fits the build of
PyTorch, and both for much that their ProdLDA does not use; hence `--no-deps`. What is used needs
nothing besides the dependencies of this package.

Both train with their own defaults and their own loop, on one thread if PyTorch is told so, and
print how far they are, to stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import numpy as np
import torch
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse as sparse
    from numpy.typing import NDArray
    from torch.utils.data import Dataset

    from ntm_ray import Corpus

    Floats = NDArray[np.float64]

OCTIS_BATCH = 64
TOPMOST_BATCH = 200

_ROWS = 512
"""Documents whose probabilities of all words are held at a time."""


@dataclass(frozen=True)
class TrainedPeer:
    """A ProdLDA that was trained.

    Attributes:
        topics: Softmax of each topic's weights of words, ``(topics, vocabulary)``. The model adds
            topics up before it scales and normalises words, so documents are no mixture of these.
        own: Word probabilities of documents given some of their counts, by the encoder's topic
            weights, as a function of these counts and of where to look: ``(entries,)``.
        seconds: CPU time of training.
    """

    topics: Floats
    own: Callable[[sparse.csr_matrix, sparse.csr_matrix], Floats]
    seconds: float


def octis_prodlda(corpus: Corpus, topics: int, seed: int) -> TrainedPeer:
    """Train OCTIS's ProdLDA for 100 epochs, or until five gave no better loss of validation.

    So does its `ProdLDA.train_model`; its topics too are those of the last epoch, not the best.
    """
    avitm = "octis.models.pytorchavitm"
    kind = importlib.import_module(f"{avitm}.avitm.avitm_model").AVITM_model
    dataset = importlib.import_module(f"{avitm}.datasets.bow").BOWDataset

    words = dict(enumerate(corpus.vocabulary))
    train = dataset(_dense(_without_lone_document(corpus.train, OCTIS_BATCH)), words)
    # None: all epochs. A data set without documents would be a division by zero.
    validation = dataset(_dense(corpus.validation), words) if corpus.validation.shape[0] else None
    torch.manual_seed(seed)
    with (
        # OCTIS uses a name that NumPy 2 has no more, and a GPU where there is one.
        mock.patch.object(np, "Inf", np.inf, create=True),
        mock.patch.object(torch.cuda, "is_available", return_value=False),
    ):
        model = kind(len(corpus.vocabulary), topics, batch_size=OCTIS_BATCH)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        # Else a checkpoint is written to the working directory. It is never read.
        model.early_stopping.path = str(Path(folder) / "checkpoint.pt")
        started = time.process_time()
        model.fit(train, validation)
        seconds = time.process_time() - started
    network = model.model.eval()

    def weights(counts: NDArray[np.float32]) -> torch.Tensor:
        # The mean of ten samples: what OCTIS gives out.
        return torch.as_tensor(model.get_thetas(dataset(counts, words)), dtype=torch.float32)

    def decoded(theta: torch.Tensor) -> torch.Tensor:
        return torch.softmax(network.beta_batchnorm(theta @ network.beta), dim=1)

    return TrainedPeer(_normalised(network.beta), _own(weights, decoded), seconds)


def topmost_prodlda(corpus: Corpus, topics: int, seed: int) -> TrainedPeer:
    """Train TopMost's ProdLDA by its `BasicTrainer`: 200 epochs."""
    # What these packages import when they are run is for other models: sentence-transformers,
    # gensim, torchvision. Left empty, they still find the modules that are needed here.
    for package in ("topmost", "topmost.data", "topmost.models", "topmost.trainers"):
        _imported_empty(package)
    kind = importlib.import_module("topmost.models.basic.ProdLDA").ProdLDA
    trainer_of = importlib.import_module("topmost.trainers.basic.basic_trainer").BasicTrainer

    train = torch.from_numpy(_dense(_without_lone_document(corpus.train, TOPMOST_BATCH)))
    torch.manual_seed(seed)
    model = kind(len(corpus.vocabulary), topics)
    # A tensor is no Dataset by its type, but is what TopMost's own data sets give a DataLoader.
    loader: DataLoader[torch.Tensor] = DataLoader(
        cast("Dataset[torch.Tensor]", train), batch_size=TOPMOST_BATCH, shuffle=True
    )
    dataset = SimpleNamespace(train_data=train, train_dataloader=loader, vocab=corpus.vocabulary)
    trainer = trainer_of(model, dataset, batch_size=TOPMOST_BATCH)
    started = time.process_time()
    trainer.train()
    seconds = time.process_time() - started

    def weights(counts: NDArray[np.float32]) -> torch.Tensor:
        return torch.as_tensor(trainer.test(torch.from_numpy(counts)), dtype=torch.float32)

    return TrainedPeer(_normalised(model.get_beta()), _own(weights, model.decode), seconds)


def _imported_empty(package: str) -> None:
    """Have a package, if it is not imported yet, without running its ``__init__``."""
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(package)
        sys.modules[package] = importlib.util.module_from_spec(spec)


def _without_lone_document(counts: Any, batch: int) -> Any:
    """Return counts that leave no batch of one document, which batch norm cannot train on."""
    return counts[:-1] if counts.shape[0] % batch == 1 else counts


def _dense(counts: Any) -> NDArray[np.float32]:
    dense: NDArray[np.float32] = counts.toarray().astype(np.float32)
    return dense


def _normalised(weights: torch.Tensor) -> Floats:
    probabilities: Floats = torch.softmax(weights.detach().double(), dim=1).numpy()
    return probabilities


def _own(
    weights: Callable[[NDArray[np.float32]], torch.Tensor],
    decoded: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[sparse.csr_matrix, sparse.csr_matrix], Floats]:
    """Return `TrainedPeer.own` of an encoder and a decoder."""

    def own(seen: sparse.csr_matrix, judged: sparse.csr_matrix) -> Floats:
        parts = []
        for start in range(0, judged.shape[0], _ROWS):
            theta = weights(_dense(seen[start : start + _ROWS]))
            with torch.no_grad():
                probabilities = decoded(theta).double().numpy()
            entries = judged[start : start + _ROWS].tocoo()
            parts.append(probabilities[entries.row, entries.col])
        return np.concatenate(parts)

    return own
