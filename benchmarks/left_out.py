"""Ideas for better topics that did not earn a place, each beside the model that has none of them.

    python benchmarks/left_out.py news=FOLDER docstrings manual [--topics 20 50] [--seeds 0 1]
        [--epochs 35] [--ideas "dropout on topic weights" ...] [--each]

Corpora are named as in `topics.py`. `nothing` is the first configuration of the search space
`coherent`; every other row changes the one thing that its name says, `ProdLDA` several. A normal
posterior has no prior that is learned, and there is no term for diversity where topics are added,
or learn by expected counts. All of it is written here, plainly, with gradients by autograd, those
few ideas too that the package has as hyperparameters: one way of training for all. So `nothing`
should come to what `topics.py --models coherent --validation` does.

encoder      Perplexity of document completion with the weights that the encoder gives.
inferred     The same with weights that are inferred in one way for all models that mix topics.
NPMI, TU     Of the ten most probable words of each topic; NPMI by the training documents.

Validation documents are judged, since ideas are chosen by it. Medians over seeds, and after each
perplexity its ratio to that of the first idea that was asked for.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import statistics
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg
import torch
from torch.nn import functional

from benchmarks.topics import Fitted, added, at, corpus_of, measures
from ntm_ray.model import CoherenceReference, Hyperparameters
from ntm_ray.model.initial import INITIAL_SCALE, decoder_start, log_frequencies
from ntm_ray.model.prior import (
    EULER,
    NEW,
    concentrations,
    greatest_log_sigma,
    log_exponential,
    mean_of,
)
from ntm_ray.model.schedule import Schedule
from ntm_ray.tuning.space import SearchSpace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntm_ray import Corpus

FIRST: dict[str, Any] = dict(SearchSpace.read("coherent").first[0])
EMBEDDED = 100
"""Width of word embeddings."""

ONLINE_START, ONLINE_FALL = 64.0, 0.7
"""Of Hoffman, Blei and Bach: the step t learns by (64 + t)^-0.7."""


@dataclasses.dataclass(frozen=True)
class Idea:
    """What is other than in the first configuration of `coherent`.

    Attributes:
        posterior: Of topic weights before the softmax: Weibull with a learned Dirichlet prior, or
            normal.
        laplace: Concentration of the Dirichlet prior whose Laplace approximation is the prior of
            a normal posterior (Srivastava and Sutton 2017); 0: N(0, I).
        heads_normalised: Batch normalisation of mean and log sigma (Srivastava and Sutton 2017).
        warm_up: Part of the steps over which the KL divergence's weight rises from 0 (Bowman et
            al. 2016).
        final_kl: That weight at the end.
        dropout: Part of the topic weights that is dropped (Srivastava and Sutton 2017).
        reads: What the encoder reads of counts.
        activation: Of the encoder.
        hidden: Sizes of its layers.
        decoder: As the hyperparameter.
        expected_counts: Topics learn by expected counts (Hoffman, Blei and Bach 2010).
        embeddings: Topics are products of topic and word embeddings, and words' frequencies
            (Dieng, Ruiz and Blei 2020): learnt, or singular vectors of the PPMI of words.
        coherence: Weight, nats a document, of the cosine of a topic's words and its mean, by such
            vectors (Ding, Nallapati and Xiang 2018).
    """

    posterior: Literal["weibull", "normal"] = "weibull"
    laplace: float = 0.0
    heads_normalised: bool = False
    warm_up: float = 0.0
    final_kl: float = FIRST["kl_weight"]
    dropout: float = 0.0
    reads: Literal["log", "counts", "proportions"] = "log"
    activation: Literal["tanh", "relu"] = "tanh"
    hidden: tuple[int, ...] = (300,)
    decoder: Literal["mixture", "product"] = "mixture"
    expected_counts: bool = False
    embeddings: Literal["", "learnt", "fixed"] = ""
    coherence: float = 0.0


IDEAS = {
    "nothing": Idea(),
    "normal posterior, N(0, I)": Idea(posterior="normal"),
    "Laplace approximation, 1": Idea(posterior="normal", laplace=1.0),
    "Laplace approximation, 0.1": Idea(posterior="normal", laplace=0.1),
    "normalised heads, normal, N(0, I)": Idea(posterior="normal", heads_normalised=True),
    "normalised heads": Idea(heads_normalised=True),
    "added topics, Laplace approximation, 1": Idea(
        posterior="normal", laplace=1.0, decoder="product"
    ),
    "ProdLDA": Idea(
        posterior="normal", laplace=1.0, heads_normalised=True, dropout=0.2, decoder="product"
    ),
    "KL warm-up": Idea(warm_up=0.5),
    "KL warm-up to 1": Idea(warm_up=0.5, final_kl=1.0),
    "KL divergence in full": Idea(final_kl=1.0),
    "dropout on topic weights": Idea(dropout=0.2),
    "counts": Idea(reads="counts"),
    "proportions": Idea(reads="proportions"),
    "relu": Idea(activation="relu"),
    "one layer of 800": Idea(hidden=(800,)),
    "two layers, 200 and 100": Idea(hidden=(200, 100)),
    "expected counts": Idea(expected_counts=True),
    "embeddings, learnt": Idea(embeddings="learnt"),
    "embeddings, fixed": Idea(embeddings="fixed"),
    "coherence": Idea(coherence=10.0),
}


class Model(torch.nn.Module):
    """An NTM of the first configuration of `coherent`, but for an idea."""

    def __init__(self, idea: Idea, corpus: Corpus, topics: int, seed: int) -> None:
        super().__init__()
        self.idea = idea
        words = len(corpus.vocabulary)
        generator = np.random.default_rng(seed)
        sizes = (words, *idea.hidden, topics)

        def drawn(*shape: int) -> torch.nn.Parameter:
            uniform = 2 * generator.random(shape, dtype=np.float32) - 1
            return torch.nn.Parameter(torch.from_numpy(np.float32(INITIAL_SCALE) * uniform))

        self.weights = torch.nn.ParameterList(
            [drawn(a, b) for a, b in itertools.pairwise(sizes[:-1])]
        )
        self.biases = torch.nn.ParameterList(
            [torch.nn.Parameter(torch.zeros(size)) for size in idea.hidden]
        )
        self.heads = torch.nn.ParameterList([drawn(sizes[-2], topics) for _ in range(2)])
        self.head_biases = torch.nn.ParameterList(
            [torch.nn.Parameter(torch.zeros(topics)) for _ in range(2)]
        )
        self.normal = torch.nn.ModuleList(
            [torch.nn.BatchNorm1d(topics, eps=1e-3, affine=False) for _ in range(2)]
        )
        start = decoder_start(corpus.train, settings(corpus, topics, idea.decoder), generator)
        assert start is not None
        weight, bias = (torch.from_numpy(np.ascontiguousarray(part)) for part in start)
        self.bias = torch.nn.Parameter(bias)
        self.embedded = torch.empty(0)
        if idea.embeddings == "fixed" or idea.coherence:
            self.embedded = word_vectors(corpus.train)
        if idea.embeddings:
            fixed = idea.embeddings == "fixed"
            self.words = torch.nn.Parameter(
                self.embedded * math.sqrt(EMBEDDED) if fixed else drawn(words, EMBEDDED).data,
                requires_grad=not fixed,
            )
            self.decoder = drawn(topics, EMBEDDED)
            self.bias = torch.nn.Parameter(torch.from_numpy(log_frequencies(corpus.train)))
        else:
            self.decoder = torch.nn.Parameter(drawn(words, topics).data + weight)
        if idea.expected_counts:
            start_of_topics = torch.softmax(self.decoder.detach(), dim=0)
            self.expected = start_of_topics * float(corpus.train.sum()) / topics
        self.prior_mean = torch.full((topics,), mean_of(FIRST["prior_concentration"]))

    def logits(self) -> torch.Tensor:
        """Return what topics say of words, ``(vocabulary, topics)``."""
        if self.idea.embeddings:
            return self.words @ self.decoder.T + self.bias[:, None]
        return self.decoder

    def topics(self) -> torch.Tensor:
        """Return topics as probabilities, ``(vocabulary, topics)``."""
        if self.idea.expected_counts:
            return self.expected / self.expected.sum(dim=0)
        return torch.softmax(self.logits(), dim=0)

    def posterior(
        self, x: torch.Tensor, columns: torch.Tensor, kept: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and log sigma, ``(documents, topics)``, of counts of some words."""
        if self.idea.reads == "log":
            read = x.log1p()
        else:
            read = x if self.idea.reads == "counts" else x / x.sum(dim=1, keepdim=True)
        if kept is not None:
            read = read * kept
        activation = torch.tanh if self.idea.activation == "tanh" else torch.relu
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            read = activation(read @ (weight[columns] if i == 0 else weight) + bias)
        mean, log_sigma = (
            read @ head + bias for head, bias in zip(self.heads, self.head_biases, strict=True)
        )
        if self.idea.heads_normalised:
            mean, log_sigma = self.normal[0](mean), self.normal[1](log_sigma)
        if self.idea.posterior == "weibull":
            log_sigma = log_sigma.clamp(max=greatest_log_sigma(FIRST["prior_concentration"]))
        return mean, log_sigma

    def divergence(self, mean: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
        """Return the KL divergence of each document, in nats."""
        sigma, topics = log_sigma.exp(), mean.shape[1]
        if self.idea.posterior == "normal":
            variance = (1 - 1 / topics) / self.idea.laplace if self.idea.laplace else 1.0
            terms = (mean.square() + sigma.square()) / variance - 1
            return (terms / 2 - log_sigma + math.log(variance) / 2).sum(dim=1)
        a = concentrations(self.prior_mean).to(mean)
        terms = (
            EULER * a * sigma - a * mean - log_sigma + torch.exp(mean + torch.lgamma(1 + sigma))
        )
        return (terms + torch.lgamma(a) - EULER - 1).sum(dim=1)

    def encoded(self, counts: sparse.csr_matrix) -> NDArray[np.float64]:
        """Return the topic weights that the encoder gives, ``(documents, topics)``."""
        self.eval()
        every, found = torch.arange(counts.shape[1]), []
        with torch.no_grad():
            for first in range(0, counts.shape[0], 512):
                x = torch.from_numpy(counts[first : first + 512].toarray().astype(np.float32))
                mean, log_sigma = self.posterior(x, every)
                if self.idea.posterior == "weibull":
                    mean = mean + torch.lgamma(1 + log_sigma.exp())
                found.append(torch.softmax(mean, dim=1).double().numpy())
        return np.concatenate(found)


def settings(corpus: Corpus, topics: int, decoder: str, epochs: int = 1) -> Hyperparameters:
    """Return the first configuration of `coherent` as hyperparameters, but for the decoder."""
    own: dict[str, Any] = {**FIRST, "feature_dim": len(corpus.vocabulary), "num_topics": topics}
    if decoder == "product":
        own |= {"decoder": "product", "diversity_weight": 0.0}
    return Hyperparameters.parse(own | {"epochs": epochs})


def word_vectors(counts: sparse.csr_matrix) -> torch.Tensor:
    """Return singular vectors of words' PPMI, of length 1, ``(vocabulary, width)``."""
    ones = np.ones_like(counts.data)
    found = sparse.csr_matrix((ones, counts.indices, counts.indptr), counts.shape)
    together = (found.T @ found).tocoo()
    each = np.asarray(found.sum(axis=0)).ravel()
    pmi = np.log(together.data * counts.shape[0] / (each[together.row] * each[together.col]))
    kept = (pmi > 0) & (together.row != together.col)
    ppmi = sparse.csr_matrix(
        (pmi[kept], (together.row[kept], together.col[kept])), together.shape, dtype=np.float64
    )
    left, singular, _ = scipy.sparse.linalg.svds(ppmi, k=EMBEDDED, random_state=0)
    vectors = torch.from_numpy(left * np.sqrt(singular)).float()
    return functional.normalize(vectors, dim=1)


def train(idea: Idea, corpus: Corpus, topics: int, seed: int, epochs: int) -> Fitted:
    """Train a model of an idea, and return what is measured of it."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    model = Model(idea, corpus, topics, seed)
    hyperparameters = settings(corpus, topics, idea.decoder, epochs)
    schedule = Schedule.of(hyperparameters, corpus.train.shape[0])
    factors = schedule.factors(1, schedule.steps)
    rate, faster = FIRST["learning_rate"], FIRST["decoder_rate"]
    # The projection of embeddings: of 3 to 30 times the encoder's rate, 10 came out best.
    of_decoder = [model.decoder, model.bias] + ([model.words] if idea.embeddings else [])
    known = {id(p) for p in of_decoder}
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in known], "base": rate},
        {
            "params": [p for p in of_decoder if p.requires_grad],
            "base": rate * (10 if idea.embeddings else faster),
        },
    ]
    optimizer = torch.optim.Adam(groups, lr=rate, fused=True)
    documents, tokens = corpus.train.shape[0], float(corpus.train.sum()) / corpus.train.shape[0]
    size, step = hyperparameters.mini_batch_size, 0
    for _ in range(epochs):
        order = generator.permutation(documents)
        for first in range(0, documents, size):
            rows = corpus.train[order[first : first + size]]
            words = np.unique(rows.indices)
            x = torch.from_numpy(rows[:, words].toarray().astype(np.float32))
            warm = idea.warm_up * schedule.steps
            weight = idea.final_kl * (min(1.0, step / warm) if warm else 1.0)
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * factors[step]
            model.train()
            optimizer.zero_grad()
            loss = _loss(model, x, torch.from_numpy(words).long(), weight, tokens, step, documents)
            torch.autograd.backward(loss)
            optimizer.step()
            step += 1
    return _fitted(model)


def _loss(
    model: Model,
    x: torch.Tensor,
    words: torch.Tensor,
    weight: float,
    tokens: float,
    step: int,
    documents: int,
) -> torch.Tensor:
    """Return the loss of a batch, of counts of the words that occur in it."""
    idea = model.idea
    drop = FIRST["encoder_dropout"]
    kept = (torch.rand_like(x) >= drop).float() / (1 - drop)
    mean, log_sigma = model.posterior(x, words, kept)
    noise = torch.randn_like(mean)
    if idea.posterior == "weibull":
        noise = log_exponential(noise)
    kld = model.divergence(mean, log_sigma)
    with torch.no_grad():
        of_batch = (mean - EULER * log_sigma.exp()).mean(dim=0)
        model.prior_mean.lerp_(of_batch, NEW)
    theta = torch.softmax(mean + log_sigma.exp() * noise, dim=1)
    theta = functional.dropout(theta, idea.dropout)
    if idea.decoder == "product":
        logits = theta @ model.decoder.T + model.bias
        recons = x.sum(dim=1) * logits.logsumexp(dim=1) - (x * logits[:, words]).sum(dim=1)
        total: torch.Tensor = (recons + weight * kld).sum()
        return total
    if idea.dropout:
        theta = theta / theta.sum(dim=1, keepdim=True).clamp(min=1e-6)
    topics = model.topics()
    probabilities = theta @ topics[words].T + 1e-20
    loss: torch.Tensor = (weight * kld - (x * probabilities.log()).sum(dim=1)).sum()
    if idea.expected_counts:
        with torch.no_grad():
            ratio = x / probabilities
            part = (step + ONLINE_START) ** -ONLINE_FALL
            model.expected *= 1 - part
            model.expected += part * 0.01
            gained = topics[words] * (ratio.T @ theta) * (documents / len(x))
            model.expected[words] += part * gained
        return loss
    directions = functional.normalize(topics, dim=0)
    number = topics.shape[1]
    pairs = directions.sum(dim=1).square().sum() - number
    loss = loss + FIRST["diversity_weight"] * tokens * len(x) * pairs / (number * (number - 1))
    if idea.coherence:
        means = functional.normalize(model.embedded.T @ topics, dim=0)
        together = (topics * (model.embedded @ means)).sum() / number
        loss = loss - idea.coherence * len(x) * together
    return loss


def _fitted(model: Model) -> Fitted:
    with torch.no_grad():
        topics = model.topics().T.double().numpy()
        weight, bias = model.decoder.double().numpy(), model.bias.double().numpy()
    mixes = model.idea.decoder == "mixture"

    def own(seen: sparse.csr_matrix, judged: sparse.csr_matrix) -> NDArray[np.float64]:
        weights = model.encoded(seen)
        return at(weights, topics, judged) if mixes else added(weights, weight, bias, judged)

    return Fitted(np.ascontiguousarray(topics), own, mixes, seconds=math.nan)


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--topics", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=35)
    parser.add_argument("--ideas", nargs="+", choices=list(IDEAS), default=list(IDEAS))
    parser.add_argument("--each", action="store_true", help="print what each seed came to")
    given = parser.parse_args()

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print("| corpus | topics | idea | encoder | inferred | NPMI | TU |")
    print("|---|---|---|---|---|---|---|")
    for named in given.corpora:
        corpus = corpus_of(named)
        corpus = dataclasses.replace(corpus, test=corpus.validation)
        reference = CoherenceReference(corpus.train)
        for topics in given.topics:
            of_first: list[float] | None = None
            for name in given.ideas:
                of_seeds = []
                for seed in given.seeds:
                    fitted = train(IDEAS[name], corpus, topics, seed, given.epochs)
                    of_seeds.append(_row(measures(fitted, corpus, reference)))
                    if given.each:
                        print(f"{name} {seed}: {of_seeds[-1]}", file=sys.stderr, flush=True)
                row = [statistics.median(column) for column in zip(*of_seeds, strict=True)]
                of_first = row if of_first is None else of_first
                print(
                    f"| {corpus.name} | {topics} | {name} | {_cells(row, of_first)} |",
                    flush=True,
                )


def _row(measured: list[float]) -> list[float]:
    own, _, inferred, npmi, uniqueness, *_ = measured
    return [own, inferred, npmi, uniqueness]


def _cells(row: list[float], beside: list[float]) -> str:
    own, inferred = (
        "-" if math.isnan(x) else f"{x:.0f} {x / y:.3f}"
        for x, y in zip(row[:2], beside[:2], strict=True)
    )
    return f"{own} | {inferred} | {row[2]:.3f} | {row[3]:.2f}"


if __name__ == "__main__":
    main()
