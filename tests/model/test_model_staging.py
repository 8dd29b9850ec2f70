from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from ntm_ray.model.batch import Batch
from ntm_ray.model.counts_source import Resident, Streamed
from ntm_ray.model.staging import Shape, Stage, groups

CPU = torch.device("cpu")
TOPICS = 3


def counts_of(random: np.random.Generator, documents: int, words: int) -> csr_matrix:
    rate = random.choice([0.05, 0.5, 3.0], size=(documents, 1))
    return csr_matrix(random.poisson(rate, size=(documents, words)), dtype=np.float32)


def lengths_of(counts: csr_matrix) -> np.ndarray:
    return np.diff(counts.indptr).astype(np.int64)


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    documents=st.integers(1, 120),
    words=st.integers(1, 50),
    size=st.integers(1, 40),
    streamed=st.booleans(),
)
def test_a_staged_batch_multiplies_to_the_same_bits_as_one_of_its_own(
    seed: int, documents: int, words: int, size: int, streamed: bool
) -> None:
    random = np.random.default_rng(seed)
    counts = counts_of(random, documents, words)
    source = (Streamed if streamed else Resident)(counts, CPU)
    lengths = lengths_of(counts)
    regular = Shape.regular(lengths, min(size, documents), words, TOPICS)
    order = random.permutation(documents)
    by_word = torch.from_numpy(random.standard_normal((words, 5), dtype=np.float32))
    seen: list[int] = []
    for group in groups(order, lengths, regular):
        shape = regular
        if not group.regular:
            shape = Shape.single(group.documents.shape[1], group.entries, words, TOPICS)
        stage = Stage(shape, CPU)
        rates = random.random(len(group.documents), dtype=np.float32)
        stage.fill(group.documents, source, rates, torch.Generator().manual_seed(0))
        for number, chosen in enumerate(group.documents):
            stage.number.fill_(number)
            ready = stage.next()
            expected = Batch.of(counts[chosen], dtype=torch.float32, device=CPU, transposed=True)
            by_document = torch.from_numpy(
                random.standard_normal((len(chosen), 5), dtype=np.float32)
            )
            assert torch.equal(ready.batch.counts @ by_word, expected.counts @ by_word)
            assert torch.equal(
                ready.batch.for_training @ by_document, expected.for_training @ by_document
            )
            assert torch.equal(ready.batch.tokens, expected.tokens)
            assert ready.rate == rates[number]
            assert ready.noise.shape == (len(chosen), TOPICS)
            seen.extend(chosen)
    assert seen == order.tolist()


def test_what_fills_up_a_batch_lies_in_short_bags() -> None:
    # A GPU adds up a bag entry by entry, and counts all to the end to the last bag.
    random = np.random.default_rng(0)
    counts = counts_of(random, 200, 30)
    stage = Stage(Shape.single(64, 5000, 30, TOPICS), CPU)
    stage.fill(
        random.permutation(200)[None, :64],
        Resident(counts, CPU),
        np.ones(1, dtype=np.float32),
        torch.Generator().manual_seed(0),
    )
    batch = stage.next().batch
    by_word = batch.for_training
    for bags, most in ((batch.counts, 64), (by_word.pieces, 32), (by_word.words, 64)):
        assert bags.starts[0] == 0
        assert bags.starts[-1] == len(bags.rows)
        assert bags.starts.diff().min() >= 0
        assert bags.starts.diff().max() <= most


def test_the_regular_shape_takes_nearly_all_batches_and_is_not_made_for_the_longest() -> None:
    random = np.random.default_rng(0)
    lengths = random.geometric(1 / 60, size=5000)
    lengths[0] = 100_000
    shape = Shape.regular(lengths, 64, 2000, 20)
    order = random.permutation(5000)
    found = list(groups(order, lengths, shape))
    irregular = [group for group in found if not group.regular]
    assert len(irregular) <= 2  # with the longest document, and the rest
    assert shape.entries < 2 * 64 * 60
    assert np.concatenate([group.documents.ravel() for group in found]).tolist() == order.tolist()


def test_a_million_words_leave_room_for_some_batches_in_bounded_memory() -> None:
    shape = Shape.regular(np.full(10_000, 60), 256, 1_000_000, 1_000)
    laid_out = 4 * shape.batches * (sum(shape.integers.values()) + sum(shape.floats.values()))
    assert shape.batches > 1
    assert laid_out < 1 << 28
