"""Synthetic corpora, whose topics are known: bars, and topics over a vocabulary like a text's."""

from __future__ import annotations

import numpy as np

from ntm_ray.corpus.corpus import Corpus


def bars(
    documents: int = 1000,
    seed: int = 0,
    side: int = 5,
    words_per_document: int = 100,
    alpha: float = 0.1,
) -> Corpus:
    """Documents drawn from topics that are the rows and columns of a grid of words.

    After Griffiths and Steyvers, "Finding scientific topics" (PNAS 101, 2004, figure 1): the
    words are the cells of a grid, each topic is uniform over one row or one column of it, topic
    weights of a document are drawn from Dirichlet(alpha), its words from their mixture. They
    take a grid of 5 by 5, 100 words a document and alpha 1; here alpha is 0.1, so that most
    documents are made of one or two topics and a short training can recover them.

    Args:
        documents: how many to draw; a tenth is split off for validation.
        seed: same seed, same corpus.
        side: rows and columns of the grid; there are `2 * side` topics and `side**2` words.
        words_per_document: tokens a document.
        alpha: concentration of the Dirichlet distribution of topic weights.

    Returns:
        A corpus with `true_topics` (2 * side, side**2), rows first. Word `r0c3` is the cell in
        row 0 and column 3.
    """
    random = np.random.default_rng(seed)
    cells = np.eye(side)
    rows = np.kron(cells, np.ones(side)) / side
    columns = np.kron(np.ones(side), cells) / side
    topics = np.concatenate([rows, columns])
    weights = random.dirichlet(np.full(len(topics), alpha), size=documents)
    counts = random.multinomial(words_per_document, weights @ topics)
    return Corpus.from_counts(
        counts,
        [f"r{row}c{column}" for row in range(side) for column in range(side)],
        seed=seed,
        name="synthetic",
        true_topics=topics,
    )


def zipf_topics(
    topics: int = 10,
    documents: int = 2000,
    seed: int = 0,
    words: int = 1000,
    spread: float = 100.0,
    mixing: float = 1.0,
    words_per_document: tuple[int, int] = (60, 150),
) -> Corpus:
    """Documents drawn by latent Dirichlet allocation over words as frequent as those of a text.

    Frequencies of words follow Zipf's law; each topic is drawn from a Dirichlet distribution
    around them, so that topics share the frequent words, as those of texts do. Then as Blei, Ng
    and Jordan, "Latent Dirichlet Allocation" (2003), section 3.

    Args:
        topics: How many there are.
        documents: How many to draw; a tenth is split off for validation.
        seed: same seed, same corpus.
        words: Of the vocabulary, most frequent first: `w0`, `w1`, ...
        spread: Sum of the concentrations of topics around the common frequencies; the larger, the
            more alike topics are.
        mixing: Sum of the concentrations of topic weights, however many topics there are: the
            larger, the more topics a document mixes.
        words_per_document: The fewest and the most tokens of a document, evenly drawn.

    Returns:
        A corpus with `true_topics` (topics, words).
    """
    random = np.random.default_rng(seed)
    common = 1 / (np.arange(words) + 3.0)  # after Mandelbrot; without it the first word is a tenth
    common /= common.sum()
    # The least number keeps a word of a tiny share, which gamma rounds to 0, possible.
    drawn = random.gamma(spread * common, size=(topics, words)) + 1e-12
    drawn /= drawn.sum(axis=1, keepdims=True)
    weights = random.dirichlet(np.full(topics, mixing / topics), size=documents)
    fewest, most = words_per_document
    lengths = random.integers(fewest, most, size=documents, endpoint=True)
    mixed = weights @ drawn
    counts = random.multinomial(lengths, mixed / mixed.sum(axis=1, keepdims=True))
    return Corpus.from_counts(
        counts,
        [f"w{number}" for number in range(words)],
        seed=seed,
        name=f"zipf-{topics}-topics",
        true_topics=drawn,
    )
