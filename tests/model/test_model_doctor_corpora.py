"""Each diagnosis on a corpus that has the disease and on one that has not, both trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntm_ray.corpus import bars
from ntm_ray.model import DIAGNOSES, NTM, not_judged
from tests.model.sick_corpora import COHERENT, made, trained

if TYPE_CHECKING:
    from collections.abc import Callable

# A decoder that starts from noise, and a prior that lets a single topic take all of a document.
SPARSE = COHERENT | {"decoder_start": "zero", "prior_concentration": 0.1, "kl_weight": 0.3}


def said_of(model: NTM) -> set[str]:
    return {finding.name for finding in model.findings()}


@pytest.fixture(scope="module")
def healthy() -> NTM:
    return trained(made(), **COHERENT)


SICK: dict[str, Callable[[], NTM]] = {
    "collapsed": lambda: trained(made(noise=True), epochs=10),
    "dead_topics": lambda: trained(
        made(), num_topics=20, **COHERENT | {"prior_concentration": 0.1}
    ),
    "one_topic": lambda: trained(made(main=0.9), num_topics=5, **SPARSE),
    "stop_words": lambda: trained(made(common=0.3), **COHERENT),
    "rare_vocabulary": lambda: trained(made(100, words=200, tokens=20), num_topics=20, **COHERENT),
    "short_documents": lambda: trained(made(tokens=5), **COHERENT),
    "still_improving": lambda: trained(made(), epochs=3, **COHERENT),
    "overfitted": lambda: trained(made(300, words=200, tokens=30), **COHERENT),
    "small_validation": lambda: trained(made(validation_fraction=0.01), **COHERENT),
}

# The nearest corpus without the disease, where the healthy one is not it already.
WELL: dict[str, Callable[[], NTM]] = {
    "one_topic": lambda: trained(made(main=0.2, topics=5), num_topics=5, **SPARSE),
    "stop_words": lambda: trained(made(common=0.02), **COHERENT),
    "rare_vocabulary": lambda: trained(made(words=200, tokens=30), **COHERENT),
    "overfitted": lambda: trained(made(words=200, tokens=30), **COHERENT),
}


def test_every_diagnosis_has_a_corpus_that_has_the_disease() -> None:
    assert set(SICK) == set(DIAGNOSES)


def test_of_a_healthy_model_nothing_is_said(healthy: NTM) -> None:
    assert healthy.findings() == []


@pytest.mark.parametrize("name", SICK)
def test_a_disease_is_found_where_it_is(name: str) -> None:
    assert name in said_of(SICK[name]())


@pytest.mark.parametrize("name", WELL)
def test_a_disease_is_not_found_on_the_nearest_corpus_without_it(name: str) -> None:
    assert name not in said_of(WELL[name]())


def test_sagemakers_defaults_are_told_of_their_collapse_and_what_to_use() -> None:
    (collapsed,) = [
        finding for finding in trained(made(), epochs=10).findings() if finding.name == "collapsed"
    ]
    assert "--space coherent" in collapsed.change


def test_stop_words_are_named_without_any_list_of_them() -> None:
    found = trained(made(common=0.3), **COHERENT).evidence
    assert set(found.common_words) == {"und", "der", "die", "das", "nicht"}


def test_the_number_of_words_to_keep_is_that_of_words_in_enough_documents() -> None:
    corpus = made(100, words=200, tokens=20)
    model = trained(corpus, num_topics=20, epochs=2, **COHERENT)
    in_documents = np.diff(corpus.train.tocsc().indptr)
    (rare,) = [finding for finding in model.findings() if finding.name == "rare_vocabulary"]
    assert f"--max-words {(in_documents >= 5).sum()}" in rare.change


def test_a_vocabulary_of_a_few_words_is_no_sign_of_stop_words_or_collapse() -> None:
    # Each of 25 words is a top word of several of 10 topics, and in every fourth document.
    settings = COHERENT | {"prior_concentration": 0.2}
    model = trained(bars(documents=3000, seed=0), num_topics=10, epochs=60, **settings)
    assert not said_of(model) & {"stop_words", "rare_vocabulary", "collapsed"}


def test_without_validation_documents_that_is_what_is_said() -> None:
    model = trained(made(300, validation_fraction=0), epochs=3, **COHERENT)
    assert "small_validation" in said_of(model)
    assert "overfitted" not in said_of(model)
    assert not_judged(model.evidence) == []
