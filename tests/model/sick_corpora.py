"""Made corpora that have a disease, and ones that have not, and what is trained on them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntm_ray.corpus import Corpus
from ntm_ray.model import NTM

# After `search_spaces/coherent.yaml`, smaller and faster.
COHERENT: dict[str, Any] = {
    "decoder": "mixture",
    "decoder_start": "clusters",
    "encoder_input": "log",
    "optimizer": "adam",
    "encoder_layers": "100",
    "encoder_layers_activation": "tanh",
    "learning_rate": 0.003,
    "decoder_rate": 30,
    "kl_weight": 0.6,
    "prior_concentration": 0.5,
    "mini_batch_size": 128,
}


def made(
    documents: int = 3000,
    *,
    topics: int = 10,
    words: int = 30,
    tokens: int = 60,
    common: float = 0.0,
    main: float = 0.0,
    noise: bool = False,
    validation_fraction: float = 0.4,
    seed: int = 0,
) -> Corpus:
    """Documents of a few topics each; every topic has words of its own, by Zipf's law.

    Args:
        documents: How many.
        topics: How many.
        words: Words a topic.
        tokens: Tokens a document.
        common: Part of all tokens that five words take that all documents share.
        main: Part of the documents that are of the first topic alone, the rest of one other.
        noise: Whether all documents have all topics in the same parts.
        validation_fraction: Part of the documents that is split off.
        seed: Draws the documents.
    """
    random = np.random.default_rng(seed)
    zipf = 1 / np.arange(2, words + 2.0)
    of_topics = np.kron(np.eye(topics), zipf / zipf.sum()) * (1 - common)
    of_topics = np.hstack([of_topics, np.full((topics, 5), common / 5)])
    weights = random.dirichlet(np.full(topics, 0.1), size=documents)
    if noise:
        weights = np.full_like(weights, 1 / topics)
    if main:
        others = random.integers(1, topics, documents)
        weights = np.eye(topics)[np.where(random.random(documents) < main, 0, others)]
    own = [f"t{topic}w{word}" for topic in range(topics) for word in range(words)]
    return Corpus.from_counts(
        random.multinomial(tokens, weights @ of_topics),
        [*own, "und", "der", "die", "das", "nicht"],
        validation_fraction=validation_fraction,
    )


def trained(
    corpus: Corpus, *, num_topics: int = 8, epochs: int = 30, **hyperparameters: Any
) -> NTM:
    """The model of a training to its end, whatever its loss."""
    settings = {"num_patience_epochs": epochs + 1, **hyperparameters}
    return NTM(settings, num_topics=num_topics, epochs=epochs).fit(corpus, device="cpu")
