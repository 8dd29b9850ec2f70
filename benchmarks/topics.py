"""Topics beside LDA's: fit, coherence, uniqueness and time, each measured by the same code.

    python benchmarks/topics.py news=FOLDER docstrings manual [--topics 20 50]
        [--seeds 0 1 2 3 4] [--models lda default coherent search search:npmi] [--epochs 35]
        [--each] [--words] [--validation]

`news=FOLDER` is a corpus that `ntm-ray` reads, under a name; `docstrings` are those of all
installed packages; `manual` are the manual pages of this machine. One row a corpus, number of
topics and model: medians over seeds.

own          Document completion on test documents: each token falls to one half or the other,
             topic weights come from the one, the perplexity is of the other. Weights are those
             that each model gives out: LDA's sampler's (100 sweeps) given its topics, an NTM's
             `transform`. `--validation` judges validation documents instead: to choose by,
             without a look at test documents.
encoder      The same with the weights that one pass of an NTM's encoder gives.
inferred     The same with weights that are inferred in one way for all models that mix topics: by
             expectation maximisation, given the topics and a Dirichlet prior. The prior has the
             shape of the mean weights of validation documents, and of a few sizes the one with
             the best completion of those.
NPMI, TU     Of the ten most probable words of each topic; NPMI by the training documents.
CPU s        Of one training, CPU time of one thread; compiled and read before. Models take
             turns seed by seed, so that what else a machine does falls on all of them. What a
             search found is trained once more for it.
search s     Wall time of the whole search, with the start of Ray.

`default` is SageMaker's NTM as it is; `coherent` the first configuration of this search space;
`search` what a tuning job of 12 trials in it finds, one at a time, by the objective of the space;
`search:npmi`, `search:completion` and so on what it finds by others. `octis` and `topmost` are the
ProdLDA of these packages (`topic_peers.py`), left out where they are not installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import importlib.util
import itertools
import math
import re
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sparse
import torch

from ntm_ray import NTM, Corpus, TuningJob
from ntm_ray.corpus.options import ReadOptions
from ntm_ray.corpus.text import corpus_of_texts
from ntm_ray.model import CoherenceReference, topic_uniqueness
from ntm_ray.model.objectives import OBJECTIVES
from ntm_ray.model.variant_network import VariantNetwork
from ntm_ray.tuning.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Telling = Callable[[sparse.csr_matrix, sparse.csr_matrix], Floats]

SIZES = (0.3, 1.0, 3.0, 10.0)
"""Sums of the concentrations of the prior that topic weights are inferred with."""

LEAST_TOKENS = 40
"""A manual page with fewer is left out."""

SPACE = "coherent"
TRIALS = 12

PEERS = ("octis", "topmost")
"""Packages whose ProdLDA can be trained."""

_ENTRIES = 1 << 21


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A model that was trained.

    Attributes:
        topics: Probabilities of words, ``(topics, vocabulary)``.
        own: Word probabilities of documents given some of their counts, by the model's own means,
            as a function of these counts and of where to look: ``(entries,)``.
        encoded: The same by one pass of the encoder; None without an encoder.
        mixes: Whether a document's words are a mixture of the topics.
        seconds: CPU time of training.
        search_seconds: Wall time of the search that found it; NaN without any.
    """

    topics: Floats
    own: Telling
    mixes: bool
    seconds: float
    search_seconds: float = math.nan
    encoded: Telling | None = None


def manual_pages() -> Corpus:
    """Return the manual pages of this machine, without their markup."""
    texts: dict[str, None] = {}
    for path in sorted(Path("/usr/share/man").glob("man*/*")):
        if path.is_symlink() or not path.is_file():
            continue
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8", "replace")
        if text.startswith(".so "):
            continue
        text = re.sub(r"^[.']\\\".*$", "", text, flags=re.MULTILINE)
        text = re.sub(r"\\f(\[.*?\]|\(..|.)|\\[&e/|^]|\\s[-+]?\d", "", text.replace(r"\-", "-"))
        texts[re.sub(r"^[.'][A-Za-z0-9]{1,3}\b", "", text, flags=re.MULTILINE)] = None
    read = corpus_of_texts(list(texts), options=ReadOptions(), name="manual", source="manual")
    train, validation = (
        counts[np.asarray(counts.sum(axis=1)).ravel() > LEAST_TOKENS]
        for counts in (read.train, read.validation)
    )
    return Corpus.from_counts(train, read.vocabulary, validation=validation, name="manual")


def corpus_of(named: str) -> Corpus:
    """Return a corpus with test documents; where it has none, a tenth of training is taken."""
    name, _, source = named.partition("=")
    corpus = manual_pages() if name == "manual" else Corpus.read(source or f"{name}:installed")
    if corpus.test.shape[0]:
        return corpus
    order = np.random.default_rng(0).permutation(corpus.train.shape[0])
    held = len(order) // 10
    return Corpus.from_counts(
        corpus.train[np.sort(order[held:])],
        corpus.vocabulary,
        validation=corpus.validation,
        test=corpus.train[np.sort(order[:held])],
        name=name,
    )


def halves(counts: sparse.csr_matrix) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return two parts of each document's tokens, of documents that have both."""
    drawn = np.random.default_rng(0).binomial(counts.data.astype(np.int64), 0.5)
    parts = [
        sparse.csr_matrix((values.astype(np.float64), counts.indices, counts.indptr), counts.shape)
        for values in (drawn, counts.data - drawn)
    ]
    both = np.logical_and(*(np.asarray(part.sum(axis=1)).ravel() > 0 for part in parts))
    parts = [part[both] for part in parts]
    for part in parts:
        part.eliminate_zeros()
    return parts[0], parts[1]


def rows_of(counts: sparse.csr_matrix) -> NDArray[np.int64]:
    """Return the document of each entry."""
    return np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))


def at(weights: Floats, topics: Floats, counts: sparse.csr_matrix) -> Floats:
    """Return the mixed probability of each entry's word, ``(entries,)``."""
    rows = rows_of(counts)
    return np.concatenate(
        [
            np.einsum("ek,ek->e", weights[rows[part]], topics.T[counts.indices[part]])
            for part in _parts(len(rows), weights.shape[1])
        ]
    )


def added(weights: Floats, weight: Floats, bias: Floats, counts: sparse.csr_matrix) -> Floats:
    """Return each entry's probability where topics are added before a softmax, ``(entries,)``.

    Args:
        weights: Topic weights of the documents, ``(documents, topics)``.
        weight: What topics say of words, ``(vocabulary, topics)``.
        bias: What all documents say of words, ``(vocabulary,)``.
        counts: Where to look, ``(documents, vocabulary)``.
    """
    parts = []
    for start in range(0, counts.shape[0], 512):
        logits = weights[start : start + 512] @ weight.T + bias
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        rows = counts[start : start + 512]
        parts.append(np.exp(logits[rows_of(rows), rows.indices]))
    return np.concatenate(parts)


def _parts(entries: int, width: int) -> Iterator[slice]:
    step = max(1, _ENTRIES // width)
    return (slice(start, start + step) for start in range(0, entries, step))


def inferred(counts: sparse.csr_matrix, topics: Floats, prior: Floats, sweeps: int = 50) -> Floats:
    """Return topic weights given the topics, by expectation maximisation, for any model."""
    weights = np.full((counts.shape[0], len(topics)), 1 / len(topics))
    for _ in range(sweeps):
        ratio = counts.data / (at(weights, topics, counts) + 1e-300)
        shares = sparse.csr_matrix((ratio, counts.indices, counts.indptr), counts.shape)
        weights = weights * (shares @ topics.T) + prior
        weights /= weights.sum(axis=1, keepdims=True)
    return weights


def perplexity(probabilities: Floats, counts: sparse.csr_matrix) -> float:
    """Return the perplexity of a token."""
    logs = np.log(np.maximum(probabilities, 1e-300))
    return float(np.exp(-(counts.data * logs).sum() / counts.data.sum()))


def completion(topics: Floats, corpus: Corpus) -> float:
    """Return the perplexity of test documents' other halves, with inferred weights."""
    seen, judged = halves(corpus.validation)
    mean = inferred(seen, topics, np.full(len(topics), 1 / len(topics)), 20).mean(axis=0)
    fits = {
        size: perplexity(at(inferred(seen, topics, size * mean), topics, judged), judged)
        for size in SIZES
    }
    best = min(fits, key=lambda size: fits[size])
    seen, judged = halves(corpus.test)
    return perplexity(at(inferred(seen, topics, best * mean), topics, judged), judged)


def lda(corpus: Corpus, topics: int, seed: int) -> Fitted:
    """Train tomotopy's LDA by 200 sweeps; it optimises its alpha every 10."""
    import tomotopy

    def words(counts: sparse.csr_matrix) -> Iterator[list[str]]:
        for start, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
            numbers = np.repeat(counts.indices[start:end], counts.data[start:end].astype(int))
            yield [str(number) for number in numbers]

    model = tomotopy.LDAModel(k=topics, seed=seed)
    for document in words(corpus.train):
        model.add_doc(document)
    started = time.process_time()
    model.train(200, workers=1)
    seconds = time.process_time() - started
    found = np.full((topics, len(corpus.vocabulary)), 1e-12)
    numbers = [int(word) for word in model.used_vocabs]
    found[:, numbers] = [model.get_topic_word_dist(topic) for topic in range(topics)]

    def own(seen: sparse.csr_matrix, judged: sparse.csr_matrix) -> Floats:
        documents = [model.make_doc(document) for document in words(seen)]
        weights = np.array(model.infer(documents, iterations=100, workers=1)[0])
        return at(weights, found, judged)

    return Fitted(found, own, mixes=True, seconds=seconds)


def of_ntm(model: NTM, seconds: float) -> Fitted:
    """Return what is measured of an NTM."""
    found = model.topic_word.astype(np.float64)
    tensors = model._trained().tensors
    weight, bias = (
        tensors[f"projection_{part}"].numpy().astype(np.float64) for part in ("weight", "bias")
    )
    mixes = model.hyperparameters.extensions.decoder == "mixture"

    def own(seen: sparse.csr_matrix, judged: sparse.csr_matrix) -> Floats:
        weights = model.transform(seen.astype(np.float32)).astype(np.float64)
        if mixes:
            return at(weights, found, judged)
        return added(weights, weight, bias, judged)

    def encoded(seen: sparse.csr_matrix, judged: sparse.csr_matrix) -> Floats:
        network = model._ready()
        if not isinstance(network, VariantNetwork):
            return own(seen, judged)
        settled, network.inference = network.inference, None
        try:
            return own(seen, judged)
        finally:
            network.inference = settled

    return Fitted(found, own, mixes, seconds, encoded=encoded)


def ntm(settings: dict[str, Any]) -> Callable[[Corpus, int, int], Fitted]:
    """Return a function that trains an NTM of some settings, once it is compiled."""

    def train(corpus: Corpus, topics: int, seed: int) -> Fitted:
        few = Corpus.from_counts(corpus.train[:300], corpus.vocabulary)
        NTM({**settings, "epochs": 1}, num_topics=topics).fit(few, device="cpu")
        started = time.process_time()
        model = NTM(settings, num_topics=topics).fit(corpus, seed=seed, device="cpu")
        return of_ntm(model, time.process_time() - started)

    return train


def search(
    corpus: Corpus, topics: int, seed: int, epochs: int, objective: str | None = None
) -> Fitted:
    """Tune in the search space, one trial at a time, and time one training of what was found."""
    said = {} if objective is None else {"objective": objective}
    with tempfile.TemporaryDirectory() as storage:
        job = TuningJob(
            corpus=corpus, hyperparameters={"num_topics": topics, "epochs": epochs},
            search_space=SPACE, trials=TRIALS, slots=1, seed=seed, storage=storage, **said,
        )  # fmt: skip
        result = job.run()
        found = of_ntm(result.best.model(), math.nan)
    again = ntm(result.best.hyperparameters)(corpus, topics, seed)
    return dataclasses.replace(found, seconds=again.seconds, search_seconds=result.wall_seconds)


def peer(name: str) -> Callable[[Corpus, int, int], Fitted]:
    """Return a function that trains the ProdLDA of another package."""

    def train(corpus: Corpus, topics: int, seed: int) -> Fitted:
        from benchmarks import topic_peers

        kinds = {"octis": topic_peers.octis_prodlda, "topmost": topic_peers.topmost_prodlda}
        trained = kinds[name](corpus, topics, seed)
        return Fitted(trained.topics, trained.own, mixes=False, seconds=trained.seconds)

    return train


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--topics", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--models", nargs="+", default=["lda", "default", "coherent", *PEERS])
    parser.add_argument("--epochs", type=int, default=35)
    parser.add_argument("--validation", action="store_true", help="judge validation documents")
    parser.add_argument("--each", action="store_true", help="print what each seed came to")
    parser.add_argument("--words", action="store_true", help="print the topics of the first seed")
    given = parser.parse_args()

    torch.set_num_threads(1)
    patient = {"epochs": given.epochs, "num_patience_epochs": given.epochs + 1}
    models: dict[str, Callable[[Corpus, int, int], Fitted]] = {
        "lda": lda,
        "default": ntm(patient),
        SPACE: ntm(patient | dict(SearchSpace.read(SPACE).first[0])),
        **{name: peer(name) for name in PEERS if importlib.util.find_spec(name)},
    }
    models["search"] = partial(search, epochs=given.epochs)
    for objective in OBJECTIVES:
        models[f"search:{objective}"] = partial(search, epochs=given.epochs, objective=objective)
    print("| corpus | topics | model | own | encoder | inferred | NPMI | TU | CPU s | search s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    asked = {name: models[name] for name in given.models if name in models}
    for named in given.corpora:
        corpus = corpus_of(named)
        if given.validation:
            corpus = dataclasses.replace(corpus, test=corpus.validation)
        reference = CoherenceReference(corpus.train)
        for topics in given.topics:
            rows: dict[str, list[list[float]]] = {name: [] for name in asked}
            for seed, (name, train) in itertools.product(given.seeds, asked.items()):
                fitted = train(corpus, topics, seed)
                rows[name].append(measures(fitted, corpus, reference))
                if given.each:
                    found = " ".join(f"{x:.3f}" for x in rows[name][-1])
                    print(f"    {name} seed {seed}: {found}", flush=True)
                if given.words and seed == given.seeds[0]:
                    show(fitted, corpus)
            for name, of_seeds in rows.items():
                middle = [statistics.median(column) for column in zip(*of_seeds, strict=True)]
                print(
                    f"| {corpus.name} | {topics} | {name} | {middle[0]:.0f} | {middle[1]:.0f} "
                    f"| {middle[2]:.0f} | {middle[3]:.3f} | {middle[4]:.2f} | {middle[5]:.1f} "
                    f"| {middle[6]:.0f} |",
                    flush=True,
                )


def measures(fitted: Fitted, corpus: Corpus, reference: CoherenceReference) -> list[float]:
    """Return a row of the table."""
    top = np.argsort(-fitted.topics, axis=1, kind="stable")[:, :10]
    seen, judged = halves(corpus.test)
    return [
        perplexity(fitted.own(seen, judged), judged),
        perplexity(fitted.encoded(seen, judged), judged) if fitted.encoded else math.nan,
        completion(fitted.topics, corpus) if fitted.mixes else math.nan,
        float(reference.npmi(top).mean()),
        topic_uniqueness([[str(word) for word in topic] for topic in top]),
        fitted.seconds,
        fitted.search_seconds,
    ]


def show(fitted: Fitted, corpus: Corpus) -> None:
    """Print the ten most probable words of each topic."""
    for topic in np.argsort(-fitted.topics, axis=1, kind="stable")[:, :10]:
        print("   ", " ".join(corpus.vocabulary[word] for word in topic))


if __name__ == "__main__":
    main()
