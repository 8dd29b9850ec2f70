"""Bars: a synthetic corpus whose topics are known and can be seen."""

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
