"""How many topics: whole jobs over corpora whose number of topics is known.

More corpora and seeds: benchmarks/topic_numbers.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ntm_ray.corpus import Corpus, zipf_topics
from ntm_ray.tuning import TuningJob, TuningResult
from ntm_ray.tuning.topic_numbers import TopicNumbers, Verdict

if TYPE_CHECKING:
    from pathlib import Path


def searched(corpus: Corpus, storage: Path, trials: int) -> TuningResult:
    return TuningJob(
        corpus=corpus,
        search_space="how_many",
        hyperparameters={"epochs": 40},
        trials=trials,
        slots=1,
        storage=storage,
        device="cpu",
    ).run()


@pytest.mark.timeout(600)  # the first may have to compile the training, on a busy machine
@pytest.mark.parametrize(
    ("topics", "documents", "apart"), [(5, 800, 1), (10, 1000, 1), (20, 1500, 3)]
)
def test_a_search_finds_how_many_topics_there_are(
    topics: int, documents: int, apart: int, tmp_path: Path
) -> None:
    corpus = zipf_topics(topics, documents, words=400, spread=40)
    result = searched(corpus, tmp_path, trials=20)
    numbers = result.topic_numbers
    assert numbers is not None
    assert numbers.verdict is Verdict.FOUND
    assert numbers.topics is not None
    # Bits depend on the kind of CPU, and the bounds with them.
    assert abs(numbers.topics.middle - topics) <= apart
    assert numbers.topics.low - apart <= topics <= numbers.topics.high + apart
    assert sum(row.counted for row in numbers.numbers) == 20, "a scheduler has stopped some"
    said = json.loads((result.folder / "result.json").read_text())["topic_numbers"]
    assert TopicNumbers.from_json_dict(said) == numbers


def test_a_search_sees_no_topics_where_there_is_one(tmp_path: Path) -> None:
    result = searched(zipf_topics(1, 600, words=300), tmp_path, trials=8)
    assert result.topic_numbers is not None
    assert result.topic_numbers.verdict is Verdict.ONE
    assert result.topic_numbers.answer.startswith("One topic")
